// NativeAddressSpace of lib/addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "core/address_space.h"

namespace p2pmem {

class AddressSpaceObject final : public Napi::ObjectWrap<AddressSpaceObject> {
 public:
  static void define(Napi::Env env);
  static Napi::Object wrap(Napi::Env env, std::shared_ptr<AddressSpace> space);

  explicit AddressSpaceObject(const Napi::CallbackInfo& info);

 private:
  AddressSpace& space(Napi::Env env) const;

  Napi::Value id(const Napi::CallbackInfo& info);
  Napi::Value openDevice(const Napi::CallbackInfo& info);
  Napi::Value describe(const Napi::CallbackInfo& info);
  void map(const Napi::CallbackInfo& info);
  void unmap(const Napi::CallbackInfo& info);
  Napi::Value takeFaults(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<AddressSpace> space_;
};

}  // namespace p2pmem
