#include "bindings/interrupt.h"

#include <sys/eventfd.h>

#include "bindings/errors.h"

namespace p2pmem {

std::shared_ptr<Interrupt> Interrupt::start(Napi::Env env, Napi::Function handler) {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) throwError(env, systemError("IO", "eventfd", "cannot create an eventfd"));
  return started(std::shared_ptr<Interrupt>(new Interrupt(env, handler, std::move(fd))));
}

void Interrupt::onReadable(Napi::Env env) {
  uint64_t count = 0;
  if (::read(fd(), &count, sizeof count) != sizeof count) return;
  handler().MakeCallback(env.Global(), {Napi::Number::New(env, static_cast<double>(count))});
}

}  // namespace p2pmem
