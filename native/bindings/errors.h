// The only place where a C++ Error becomes a JavaScript exception.
#pragma once

#include <napi.h>

#include "core/status.h"

namespace p2pmem {

[[noreturn]] void throwError(Napi::Env env, const Error& error);

inline void throwIfFailed(Napi::Env env, const Status& status) {
  if (!status.ok()) throwError(env, status.error());
}

template <class T>
T& valueOrThrow(Napi::Env env, Result<T>& result) {
  if (!result.ok()) throwError(env, result.error());
  return result.value();
}

/// CLOSED: the object was used after close().
[[noreturn]] void throwClosed(Napi::Env env, const char* what);

/// GONE: another environment has closed it.
[[noreturn]] void throwGone(Napi::Env env, const char* what);

}  // namespace p2pmem
