#include "bindings/registrar_object.h"

#include "bindings/addon_data.h"
#include "bindings/arguments.h"
#include "bindings/errors.h"

namespace p2pmem {

void RegistrarObject::define(Napi::Env env) {
  AddonData::of(env).registrar =
      Napi::Persistent(DefineClass(env, "NativeRegistrar",
                                   {InstanceMethod<&RegistrarObject::map>("map"),
                                    InstanceMethod<&RegistrarObject::unmap>("unmap"),
                                    InstanceMethod<&RegistrarObject::close>("close")}));
}

Napi::Value RegistrarObject::open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto held = std::make_shared<Held>(
      Held{.space = AddressSpaceTable::instance().find(static_cast<uint32_t>(toUnsigned(info, 0))),
           .memory = MemoryTable::instance().find(static_cast<uint32_t>(toUnsigned(info, 1)))});
  if (!held->space || !held->memory) throwGone(env, "that memory");
  return wrapShared(env, AddonData::of(env).registrar, std::move(held));
}

RegistrarObject::RegistrarObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), held_(unwrapShared<Held>(info)) {}

const RegistrarObject::Held& RegistrarObject::held(Napi::Env env) const {
  if (!held_) throwClosed(env, "the registrar");
  return *held_;
}

void RegistrarObject::map(const Napi::CallbackInfo& info) {
  const Held& to = held(info.Env());
  throwIfFailed(info.Env(), to.space->map(to.memory, toUnsigned(info, 0), toUnsigned(info, 1),
                                          toUnsigned(info, 2), Access{}));
}

void RegistrarObject::unmap(const Napi::CallbackInfo& info) {
  throwIfFailed(info.Env(),
                held(info.Env()).space->unmap(toUnsigned(info, 0), toUnsigned(info, 1)));
}

// What is still mapped may be in use by a device: its owner unmaps it once that is over.
void RegistrarObject::close(const Napi::CallbackInfo&) { held_.reset(); }

}  // namespace p2pmem
