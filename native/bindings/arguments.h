// Checked conversion of JavaScript arguments. A wrong type is a mistake in lib/, so a TypeError.
#pragma once

#include <napi.h>

#include <cmath>
#include <cstdint>
#include <memory>

namespace p2pmem {

/// A safe integer that is not negative: lengths, offsets, indexes.
inline uint64_t toUnsigned(const Napi::CallbackInfo& info, size_t index) {
  const double value = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : -1;
  if (!(value >= 0 && value <= 9007199254740991.0) || value != std::floor(value))
    throw Napi::TypeError::New(
        info.Env(), "argument " + std::to_string(index) + " must be an unsigned safe integer");
  return static_cast<uint64_t>(value);
}

/// An unsigned 64-bit BigInt: IOVAs and 64-bit registers.
inline uint64_t toUint64(const Napi::CallbackInfo& info, size_t index) {
  bool lossless = false;
  const uint64_t value =
      info[index].IsBigInt() ? info[index].As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  if (!lossless)
    throw Napi::TypeError::New(
        info.Env(), "argument " + std::to_string(index) + " must be an unsigned 64-bit bigint");
  return value;
}

/// The C++ object behind a JavaScript object of the class that `constructor` makes.
template <class Wrap>
Wrap& toWrapped(const Napi::CallbackInfo& info, size_t index,
                const Napi::FunctionReference& constructor) {
  if (!info[index].IsObject() || !info[index].As<Napi::Object>().InstanceOf(constructor.Value()))
    throw Napi::TypeError::New(info.Env(),
                               "argument " + std::to_string(index) + " is of the wrong class");
  return *Wrap::Unwrap(info[index].As<Napi::Object>());
}

/// How a C++ object gets into the constructor of its wrapper: by an External that holds it.
template <class T>
Napi::Object wrapShared(Napi::Env env, const Napi::FunctionReference& constructor,
                        std::shared_ptr<T> object) {
  return constructor.New({Napi::External<std::shared_ptr<T>>::New(env, &object)});
}

/// The other end of wrapShared(). These classes are not for JavaScript to construct.
template <class T>
std::shared_ptr<T> unwrapShared(const Napi::CallbackInfo& info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
  return std::move(*info[0].As<Napi::External<std::shared_ptr<T>>>().Data());
}

inline void addOwn(const Napi::CallbackInfo& info, Napi::Function function, const char* name) {
  auto object = info.This().As<Napi::Object>();
  // Whoever keeps the function keeps the object.
  function.DefineProperty(Napi::PropertyDescriptor::Value("owner", object));
  object.DefineProperty(Napi::PropertyDescriptor::Value(name, function));
}

template <class Wrap, Napi::Value (Wrap::*Method)(const Napi::CallbackInfo&)>
Napi::Value callOwn(const Napi::CallbackInfo& info) {
  return (static_cast<Wrap*>(info.Data())->*Method)(info);
}

template <class Wrap, void (Wrap::*Method)(Napi::Env)>
napi_value callBare(napi_env env, napi_callback_info info) {
  void* wrap = nullptr;
  (void)napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &wrap);
  try {
    (static_cast<Wrap*>(wrap)->*Method)(env);
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  }
  return nullptr;
}

/// In the constructor of a wrapper: makes a method, of those that are called for every batch, a
/// function of the object's own. It bears the wrapper as its data; a method of the class finds it
/// by napi_unwrap(), which looks up a private property and takes longer than all the rest of a
/// call.
template <class Wrap, Napi::Value (Wrap::*Method)(const Napi::CallbackInfo&)>
void defineOwn(const Napi::CallbackInfo& info, Wrap* wrap, const char* name) {
  addOwn(info, Napi::Function::New<callOwn<Wrap, Method>>(info.Env(), name, wrap), name);
}

/// The same of one that takes nothing and gives nothing, which memory does for it: that takes half
/// the time.
template <class Wrap, void (Wrap::*Method)(Napi::Env)>
void defineBare(const Napi::CallbackInfo& info, Wrap* wrap, const char* name) {
  napi_value function = nullptr;
  if (napi_create_function(info.Env(), name, NAPI_AUTO_LENGTH, callBare<Wrap, Method>, wrap,
                           &function) != napi_ok)
    throw Napi::Error::New(info.Env());
  addOwn(info, Napi::Function(info.Env(), function), name);
}

}  // namespace p2pmem
