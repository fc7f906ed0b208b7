#include "bindings/fd_watch.h"

#include <fcntl.h>

#include "bindings/errors.h"

namespace p2pmem {

FdWatch::FdWatch(Napi::Env env, Napi::Function handler, UniqueFd fd)
    : env_(env), handler_(Napi::Persistent(handler)), fd_(std::move(fd)) {
  uv_loop_t* loop = nullptr;
  // The hook first: a handle that the loop has can only be closed by way of it. Refused where the
  // environment is ending.
  if (napi_get_uv_event_loop(env, &loop) != napi_ok ||
      napi_add_async_cleanup_hook(env, onEnvironmentEnd, this, &hook_) != napi_ok)
    throwError(env, Error{.code = "IO", .message = "this thread watches no more descriptors"});
  const int failure = uv_poll_init(loop, &poll_, fd_.get());
  if (failure != 0) {
    napi_remove_async_cleanup_hook(hook_);
    throwError(env, Error{.code = "IO",
                          .message = "the event loop cannot watch a descriptor",
                          .number = -failure,
                          .syscall = "uv_poll_init"});
  }
  poll_.data = this;
  // It fails where uv_poll_init() would have.
  (void)uv_poll_start(&poll_, UV_READABLE, onPoll);
  uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
}

void FdWatch::stop() {
  if (isStopped_) return;
  isStopped_ = true;
  handler_.Reset();
  uv_poll_stop(&poll_);
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    auto* self = static_cast<FdWatch*>(handle->data);
    napi_remove_async_cleanup_hook(self->hook_);
    self->self_.reset();
  });
}

void FdWatch::onPoll(uv_poll_t* poll, int status, int /*events*/) {
  auto* self = static_cast<FdWatch*>(poll->data);
  // The descriptor is in error, of a device that was taken away: libuv watches it no more.
  if (status < 0) return self->stop();
  const Napi::Env env = self->env_;
  const Napi::HandleScope scope(env);
  try {
    self->onReadable(env);
  } catch (const Napi::Error& error) {
    // As for any callback of the event loop: an exception nobody caught.
    napi_fatal_exception(env, error.Value());
  }
}

void FdWatch::onEnvironmentEnd(napi_async_cleanup_hook_handle /*hook*/, void* self) {
  static_cast<FdWatch*>(self)->stop();
}

UniqueFd duplicateFd(Napi::Env env, int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) throwError(env, systemError("IO", "fcntl", "cannot duplicate a file descriptor"));
  return copy;
}

}  // namespace p2pmem
