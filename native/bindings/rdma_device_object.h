// NativeRdmaDevice of lib/rdma-addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "bindings/fd_watch.h"
#include "core/rdma.h"

namespace p2pmem {

class RdmaDeviceObject final : public Napi::ObjectWrap<RdmaDeviceObject> {
 public:
  static void define(Napi::Env env);
  static Napi::Object wrap(Napi::Env env, std::shared_ptr<rdma::RdmaDevice> device);
  /// openRdmaDevice() of lib/addon.ts.
  static Napi::Value open(const Napi::CallbackInfo& info);

  explicit RdmaDeviceObject(const Napi::CallbackInfo& info);
  ~RdmaDeviceObject() override;

 private:
  /// Throws CLOSED.
  const std::shared_ptr<rdma::RdmaDevice>& device(Napi::Env env) const;
  void release();

  Napi::Value id(const Napi::CallbackInfo& info);
  Napi::Value name(const Napi::CallbackInfo& info);
  Napi::Value attributes(const Napi::CallbackInfo& info);
  Napi::Value port(const Napi::CallbackInfo& info);
  Napi::Value gids(const Napi::CallbackInfo& info);
  Napi::Value allocateDomain(const Napi::CallbackInfo& info);
  Napi::Value createCompletionQueue(const Napi::CallbackInfo& info);
  Napi::Value allocateMemory(const Napi::CallbackInfo& info);
  void onEvent(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<rdma::RdmaDevice> device_;
  std::shared_ptr<FdWatch> events_;
};

}  // namespace p2pmem
