#include "bindings/errors.h"

#include "bindings/addon_data.h"

namespace p2pmem {

void throwError(Napi::Env env, const Error& error) {
  const auto text = [&](const std::string& s) { return Napi::String::New(env, s); };
  const Napi::Value value = AddonData::of(env).makeError.Call(
      {text(error.code), text(error.message), Napi::Number::New(env, error.number),
       text(error.syscall), text(error.device), text(error.hint)});
  throw Napi::Error(env, value);
}

void throwClosed(Napi::Env env, const char* what) {
  throwError(env, Error{.code = "CLOSED", .message = std::string(what) + " is closed already"});
}

void throwGone(Napi::Env env, const char* what) {
  throwError(env, Error{.code = "GONE", .message = std::string(what) + " has been closed"});
}

}  // namespace p2pmem
