// The eventfd of an interrupt or event, watched by this environment's event loop.
#pragma once

#include <napi.h>
#include <uv.h>

#include <memory>

#include "core/unique_fd.h"

namespace p2pmem {

class Interrupt {
 public:
  /// Calls `handler` with the count of interrupts since its last call. Waiting for one keeps no
  /// process from ending: that is for whoever waits for a result. It keeps itself alive until it
  /// has been stopped, by its owner or by the end of the environment. Throws IO.
  static std::shared_ptr<Interrupt> start(Napi::Env env, Napi::Function handler);

  int eventFd() const { return fd_.get(); }

  /// No call of the handler after this. Idempotent.
  void stop();

 private:
  Interrupt(Napi::Env env, Napi::Function handler, UniqueFd fd);

  static void onReadable(uv_poll_t* poll, int status, int events);
  // A worker that ends must not leave an open handle in its loop; Node waits for this hook.
  static void onEnvironmentEnd(napi_async_cleanup_hook_handle hook, void* self);

  Napi::Env env_;
  Napi::FunctionReference handler_;
  UniqueFd fd_;
  uv_poll_t poll_ = {};
  napi_async_cleanup_hook_handle hook_ = nullptr;
  std::shared_ptr<Interrupt> self_;  // until libuv has let go of poll_
  bool isStopped_ = false;
};

}  // namespace p2pmem
