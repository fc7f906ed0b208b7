// NativeLoopbackMachine of lib/addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "loopback/machine.h"

namespace p2pmem {

class LoopbackMachineObject final : public Napi::ObjectWrap<LoopbackMachineObject> {
 public:
  static void define(Napi::Env env);
  /// createLoopbackMachine() of lib/addon.ts.
  static Napi::Value create(const Napi::CallbackInfo& info);

  explicit LoopbackMachineObject(const Napi::CallbackInfo& info);

 private:
  loopback::Machine& machine(Napi::Env env) const;

  Napi::Value functions(const Napi::CallbackInfo& info);
  Napi::Value openAddressSpace(const Napi::CallbackInfo& info);
  Napi::Value traffic(const Napi::CallbackInfo& info);
  void resetTraffic(const Napi::CallbackInfo& info);
  void inject(const Napi::CallbackInfo& info);
  void clearFaults(const Napi::CallbackInfo& info);
  void replug(const Napi::CallbackInfo& info);
  Napi::Value rdmaDevices(const Napi::CallbackInfo& info);
  Napi::Value openRdmaDevice(const Napi::CallbackInfo& info);
  Napi::Value rdmaCounters(const Napi::CallbackInfo& info);
  void invalidateStart(const Napi::CallbackInfo& info);
  void invalidateEnd(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<loopback::Machine> machine_;
};

}  // namespace p2pmem
