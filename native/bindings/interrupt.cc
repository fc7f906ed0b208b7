#include "bindings/interrupt.h"

#include <sys/eventfd.h>

#include "bindings/errors.h"

namespace p2pmem {

std::shared_ptr<Interrupt> Interrupt::start(Napi::Env env, Napi::Function handler) {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) throwError(env, systemError("IO", "eventfd", "cannot create an eventfd"));
  const std::shared_ptr<Interrupt> interrupt(new Interrupt(env, handler, std::move(fd)));
  interrupt->self_ = interrupt;
  return interrupt;
}

Interrupt::Interrupt(Napi::Env env, Napi::Function handler, UniqueFd fd)
    : env_(env), handler_(Napi::Persistent(handler)), fd_(std::move(fd)) {
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  uv_poll_init(loop, &poll_, fd_.get());
  poll_.data = this;
  uv_poll_start(&poll_, UV_READABLE, onReadable);
  uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
  napi_add_async_cleanup_hook(env, onEnvironmentEnd, this, &hook_);
}

void Interrupt::stop() {
  if (isStopped_) return;
  isStopped_ = true;
  handler_.Reset();
  uv_poll_stop(&poll_);
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    auto* self = static_cast<Interrupt*>(handle->data);
    napi_remove_async_cleanup_hook(self->hook_);
    self->self_.reset();
  });
}

void Interrupt::onReadable(uv_poll_t* poll, int status, int /*events*/) {
  auto* self = static_cast<Interrupt*>(poll->data);
  uint64_t count = 0;
  if (status < 0 || ::read(self->fd_.get(), &count, sizeof count) != sizeof count) return;
  const Napi::Env env = self->env_;
  const Napi::HandleScope scope(env);
  try {
    self->handler_.MakeCallback(env.Global(), {Napi::Number::New(env, static_cast<double>(count))});
  } catch (const Napi::Error& error) {
    // As for any callback of the event loop: an exception nobody caught.
    napi_fatal_exception(env, error.Value());
  }
}

void Interrupt::onEnvironmentEnd(napi_async_cleanup_hook_handle /*hook*/, void* self) {
  static_cast<Interrupt*>(self)->stop();
}

}  // namespace p2pmem
