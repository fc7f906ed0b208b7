// An MSI-X vector's eventfd, watched by this environment's event loop.
#pragma once

#include <napi.h>
#include <uv.h>

#include "core/unique_fd.h"

namespace p2pmem {

class Interrupt {
 public:
  /// Calls `handler` with the count of interrupts since its last call. Throws IO.
  static Interrupt* start(Napi::Env env, Napi::Function handler);

  int eventFd() const { return fd_.get(); }

  /// No call of the handler after this. Deletes the object, now or once libuv lets go of it.
  void stop();

 private:
  Interrupt(Napi::Env env, Napi::Function handler, UniqueFd fd);
  ~Interrupt() = default;

  static void onReadable(uv_poll_t* poll, int status, int events);
  // A worker that ends must not leave an open handle in its loop; Node waits for this hook.
  static void onEnvironmentEnd(napi_async_cleanup_hook_handle hook, void* self);

  Napi::Env env_;
  Napi::FunctionReference handler_;
  UniqueFd fd_;
  uv_poll_t poll_ = {};
  napi_async_cleanup_hook_handle hook_ = nullptr;
};

}  // namespace p2pmem
