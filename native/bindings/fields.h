// Checked reading of the fields of a configuration object.
#pragma once

#include <napi.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>

#include "bindings/errors.h"

namespace p2pmem::fields {

/// The upper bound on what one device may hold; the fabric has no room for more.
constexpr uint64_t kLargestDevice = uint64_t{1} << 37;

// lib/platform/machine-file.ts has told the user already what is wrong with a machine file; these
// checks keep a library user's own object from doing harm.
[[noreturn]] inline void reject(Napi::Env env, const std::string& field,
                                const std::string& wanted) {
  throwError(env, Error{.code = "BAD_MACHINE", .message = field + " must be " + wanted});
}

inline uint64_t number(const Napi::Object& object, const char* field, uint64_t most) {
  const Napi::Value value = object.Get(field);
  const double read = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(read >= 0 && read <= static_cast<double>(most)) || read != std::floor(read))
    reject(object.Env(), field, "a whole number from 0 to " + std::to_string(most));
  return static_cast<uint64_t>(read);
}

// A power of two of at least `least` bytes, as BARs and MDTS must be.
inline uint64_t powerOfTwo(const Napi::Object& object, const char* field, uint64_t least,
                           uint64_t most) {
  const uint64_t value = number(object, field, most);
  if (value < least || !std::has_single_bit(value))
    reject(object.Env(), field, "a power of two from " + std::to_string(least) + " on");
  return value;
}

// A string; empty where the field is null.
inline std::string text(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  if (value.IsNull()) return "";
  if (!value.IsString()) reject(object.Env(), field, "a string or null");
  return value.As<Napi::String>();
}

inline Napi::Object child(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  if (!value.IsObject()) reject(object.Env(), field, "an object");
  return value.As<Napi::Object>();
}

template <class Visit>
void forEach(const Napi::Object& object, const char* field, Visit visit) {
  const Napi::Value value = object.Get(field);
  if (!value.IsArray()) reject(object.Env(), field, "an array");
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) visit(array.Get(i));
}

inline Napi::Object element(const Napi::Value& value, const char* field) {
  if (!value.IsObject()) reject(value.Env(), field, "an array of objects");
  return value.As<Napi::Object>();
}

/// One of `names`, as its index. `fallback` is for a field that is not there.
template <size_t Count>
size_t choice(const Napi::Object& object, const char* field, const char* const (&names)[Count],
              size_t fallback) {
  const Napi::Value value = object.Get(field);
  if (value.IsUndefined()) return fallback;
  const std::string chosen = value.ToString();
  std::string all;
  for (size_t i = 0; i < Count; i++) {
    if (chosen == names[i]) return i;
    all += (i == 0 ? "" : ", ") + std::string(names[i]);
  }
  reject(object.Env(), field, "one of " + all);
}

}  // namespace p2pmem::fields
