#include "bindings/address_space_object.h"

#include "bindings/addon_data.h"
#include "bindings/arguments.h"
#include "bindings/device_object.h"
#include "bindings/errors.h"
#include "bindings/memory_object.h"

namespace p2pmem {

void AddressSpaceObject::define(Napi::Env env) {
  AddonData::of(env).addressSpace =
      Napi::Persistent(DefineClass(env, "NativeAddressSpace",
                                   {InstanceAccessor<&AddressSpaceObject::id>("id"),
                                    InstanceMethod<&AddressSpaceObject::openDevice>("openDevice"),
                                    InstanceMethod<&AddressSpaceObject::describe>("info"),
                                    InstanceMethod<&AddressSpaceObject::map>("map"),
                                    InstanceMethod<&AddressSpaceObject::unmap>("unmap"),
                                    InstanceMethod<&AddressSpaceObject::takeFaults>("takeFaults"),
                                    InstanceMethod<&AddressSpaceObject::close>("close")}));
}

Napi::Object AddressSpaceObject::wrap(Napi::Env env, std::shared_ptr<AddressSpace> space) {
  return wrapShared(env, AddonData::of(env).addressSpace, std::move(space));
}

AddressSpaceObject::AddressSpaceObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), space_(unwrapShared<AddressSpace>(info)) {}

AddressSpace& AddressSpaceObject::space(Napi::Env env) const {
  if (!space_) throwClosed(env, "the address space");
  return *space_;
}

Napi::Value AddressSpaceObject::id(const Napi::CallbackInfo& info) {
  space(info.Env());
  return Napi::Number::New(info.Env(), AddressSpaceTable::instance().idOf(space_));
}

Napi::Value AddressSpaceObject::openDevice(const Napi::CallbackInfo& info) {
  auto device = space(info.Env()).openDevice(info[0].As<Napi::String>());
  return DeviceObject::wrap(info.Env(), std::move(valueOrThrow(info.Env(), device)));
}

Napi::Value AddressSpaceObject::describe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto result = space(env).info();
  const AddressSpaceInfo& facts = valueOrThrow(env, result);
  auto ranges = Napi::Array::New(env);
  for (const IovaRange& range : facts.ranges) {
    auto entry = Napi::Object::New(env);
    entry["first"] = Napi::BigInt::New(env, range.first);
    entry["last"] = Napi::BigInt::New(env, range.last);
    ranges[ranges.Length()] = entry;
  }
  auto object = Napi::Object::New(env);
  object["ranges"] = ranges;
  object["pageSizes"] = Napi::BigInt::New(env, facts.pageSizes);
  object["mappingsAvailable"] = facts.mappingsAvailable
                                    ? Napi::Value(Napi::Number::New(env, *facts.mappingsAvailable))
                                    : env.Null();
  return object;
}

void AddressSpaceObject::map(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto& memory = toWrapped<MemoryObject>(info, 0, AddonData::of(env).memory).memory(env);
  const auto access = info[4].As<Napi::Object>();
  throwIfFailed(env,
                space(env).map(memory, toUnsigned(info, 1), toUnsigned(info, 2), toUint64(info, 3),
                               Access{.read = access.Get("read").ToBoolean(),
                                      .write = access.Get("write").ToBoolean()}));
}

void AddressSpaceObject::unmap(const Napi::CallbackInfo& info) {
  throwIfFailed(info.Env(), space(info.Env()).unmap(toUint64(info, 0), toUnsigned(info, 1)));
}

Napi::Value AddressSpaceObject::takeFaults(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto faults = space(env).takeFaults();
  if (!faults) return env.Null();
  auto list = Napi::Array::New(env);
  for (const DmaFault& fault : *faults) {
    auto entry = Napi::Object::New(env);
    entry["device"] = fault.device;
    entry["iova"] = Napi::BigInt::New(env, fault.iova);
    entry["write"] = fault.write;
    entry["reason"] = fault.reason;
    list[list.Length()] = entry;
  }
  return list;
}

void AddressSpaceObject::close(const Napi::CallbackInfo& info) {
  if (!space_) return;
  const auto space = std::move(space_);
  throwIfFailed(info.Env(), space->unmapAll());
}

}  // namespace p2pmem
