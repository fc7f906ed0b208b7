// NativeDevice of lib/addon.ts.
#pragma once

#include <napi.h>

#include <map>
#include <memory>

#include "bindings/interrupt.h"
#include "core/device.h"

namespace p2pmem {

class DeviceObject final : public Napi::ObjectWrap<DeviceObject> {
 public:
  static void define(Napi::Env env);
  static Napi::Object wrap(Napi::Env env, std::shared_ptr<Device> device);

  explicit DeviceObject(const Napi::CallbackInfo& info);
  ~DeviceObject() override;

 private:
  Device& device(Napi::Env env) const;
  void release();

  /// Puts a handler, or none, in the place of the one in `slot`; `route` tells the device of an
  /// eventfd.
  template <class Route>
  void setHandler(Napi::Env env, std::shared_ptr<Interrupt>& slot, Napi::Value handler,
                  Route route);

  Napi::Value address(const Napi::CallbackInfo& info);
  Napi::Value resettable(const Napi::CallbackInfo& info);
  Napi::Value msixVectors(const Napi::CallbackInfo& info);
  Napi::Value region(const Napi::CallbackInfo& info);
  void setBusMaster(const Napi::CallbackInfo& info);
  void reset(const Napi::CallbackInfo& info);
  void restore(const Napi::CallbackInfo& info);
  Napi::Value exportDmabuf(const Napi::CallbackInfo& info);
  void onInterrupt(const Napi::CallbackInfo& info);
  template <DeviceEvent Event>
  void onEvent(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<Device> device_;
  std::map<uint32_t, std::shared_ptr<Interrupt>> interrupts_;  // by vector
  std::map<DeviceEvent, std::shared_ptr<Interrupt>> events_;
};

}  // namespace p2pmem
