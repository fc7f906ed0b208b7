// The eventfd of an interrupt or event, watched by this environment's event loop.
#pragma once

#include <napi.h>
#include <uv.h>

#include <memory>

#include "core/unique_fd.h"

namespace p2pmem {

class Interrupt {
 public:
  /// Whether waiting for it keeps the process from ending.
  enum class Loop { holds, letsGo };

  /// Calls `handler` with the count of interrupts since its last call. It keeps itself alive until
  /// it has been stopped, by its owner or by the end of the environment. Throws IO.
  static std::shared_ptr<Interrupt> start(Napi::Env env, Napi::Function handler, Loop loop);

  int eventFd() const { return fd_.get(); }

  /// No call of the handler after this. Idempotent.
  void stop();

 private:
  Interrupt(Napi::Env env, Napi::Function handler, UniqueFd fd, Loop loop);

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
