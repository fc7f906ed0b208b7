// NativeIoRing of lib/addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "kernel/io_ring.h"

namespace p2pmem {

class IoRingObject final : public Napi::ObjectWrap<IoRingObject> {
 public:
  static void define(Napi::Env env);
  static Napi::Object wrap(Napi::Env env, std::shared_ptr<IoRing> ring);

  explicit IoRingObject(const Napi::CallbackInfo& info);

 private:
  /// Throws CLOSED.
  IoRing& ring(Napi::Env env) const;

  Napi::Value layout(const Napi::CallbackInfo& info);
  Napi::Value rings(const Napi::CallbackInfo& info);
  Napi::Value entries(const Napi::CallbackInfo& info);
  Napi::Value hold(const Napi::CallbackInfo& info);
  void registerFiles(const Napi::CallbackInfo& info);
  void registerBuffers(const Napi::CallbackInfo& info);
  Napi::Value enter(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<IoRing> ring_;
};

}  // namespace p2pmem
