// The eventfd of an interrupt or event, watched by this environment's event loop.
#pragma once

#include <memory>

#include "bindings/fd_watch.h"

namespace p2pmem {

class Interrupt final : public FdWatch {
 public:
  /// Calls `handler` with the count of interrupts since its last call. Throws IO.
  static std::shared_ptr<Interrupt> start(Napi::Env env, Napi::Function handler);

  int eventFd() const { return fd(); }

 private:
  using FdWatch::FdWatch;
  void onReadable(Napi::Env env) override;
};

}  // namespace p2pmem
