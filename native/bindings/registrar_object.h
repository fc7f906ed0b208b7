// NativeRegistrar of lib/addon.ts: maps parts of one memory in an address space, for a thread that
// does so for each I/O.
#pragma once

#include <napi.h>

#include <memory>

#include "core/address_space.h"

namespace p2pmem {

class RegistrarObject final : public Napi::ObjectWrap<RegistrarObject> {
 public:
  static void define(Napi::Env env);
  /// openRegistrar() of lib/addon.ts.
  static Napi::Value open(const Napi::CallbackInfo& info);

  explicit RegistrarObject(const Napi::CallbackInfo& info);

 private:
  struct Held {
    std::shared_ptr<AddressSpace> space;
    std::shared_ptr<Memory> memory;
  };

  const Held& held(Napi::Env env) const;
  void map(const Napi::CallbackInfo& info);
  void unmap(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<Held> held_;
};

}  // namespace p2pmem
