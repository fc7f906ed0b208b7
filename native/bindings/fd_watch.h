// A file descriptor that this environment's event loop watches, with the JavaScript function that
// is called while it is readable. Waiting for it keeps no process from ending: that is for whoever
// waits for a result.
#pragma once

#include <napi.h>
#include <uv.h>

#include <memory>

#include "core/unique_fd.h"

namespace p2pmem {

class FdWatch {
 public:
  virtual ~FdWatch() = default;
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;

  int fd() const { return fd_.get(); }

  /// No call of the handler after this. Idempotent.
  void stop();

 protected:
  FdWatch(Napi::Env env, Napi::Function handler, UniqueFd fd);

  /// Takes what makes the descriptor readable, and calls the handler for it. Inside a HandleScope;
  /// the handler may stop this watch.
  virtual void onReadable(Napi::Env env) = 0;

  bool isStopped() const { return isStopped_; }
  const Napi::FunctionReference& handler() const { return handler_; }

  /// A watch keeps itself alive until it has been stopped, by its owner or by the end of the
  /// environment.
  template <class Watch>
  static std::shared_ptr<Watch> started(std::shared_ptr<Watch> watch) {
    watch->self_ = watch;
    return watch;
  }

 private:
  static void onPoll(uv_poll_t* poll, int status, int events);
  // A worker that ends must not leave an open handle in its loop; Node waits for this hook.
  static void onEnvironmentEnd(napi_async_cleanup_hook_handle hook, void* self);

  Napi::Env env_;
  Napi::FunctionReference handler_;
  UniqueFd fd_;
  uv_poll_t poll_ = {};
  napi_async_cleanup_hook_handle hook_ = nullptr;
  std::shared_ptr<FdWatch> self_;  // until libuv has let go of poll_
  bool isStopped_ = false;
};

/// A descriptor of the same file for a watch of its own: an event loop watches each one only once.
/// Throws IO.
UniqueFd duplicateFd(Napi::Env env, int fd);

}  // namespace p2pmem
