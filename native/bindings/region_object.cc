#include "bindings/region_object.h"

#include "bindings/addon_data.h"
#include "bindings/arguments.h"
#include "bindings/errors.h"
#include "bindings/memory_object.h"

namespace p2pmem {

void RegionObject::define(Napi::Env env) {
  AddonData::of(env).region =
      Napi::Persistent(DefineClass(env, "NativeRegion",
                                   {InstanceAccessor<&RegionObject::index>("index"),
                                    InstanceAccessor<&RegionObject::size>("size"),
                                    InstanceAccessor<&RegionObject::mappable>("mappable"),
                                    InstanceMethod<&RegionObject::read<1>>("read8"),
                                    InstanceMethod<&RegionObject::read<2>>("read16"),
                                    InstanceMethod<&RegionObject::read<4>>("read32"),
                                    InstanceMethod<&RegionObject::read<8>>("read64"),
                                    InstanceMethod<&RegionObject::write<1>>("write8"),
                                    InstanceMethod<&RegionObject::write<2>>("write16"),
                                    InstanceMethod<&RegionObject::write<4>>("write32"),
                                    InstanceMethod<&RegionObject::write<8>>("write64"),
                                    InstanceMethod<&RegionObject::map>("map")}));
}

Napi::Object RegionObject::wrap(Napi::Env env, std::shared_ptr<Region> region) {
  return wrapShared(env, AddonData::of(env).region, std::move(region));
}

RegionObject::RegionObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), region_(unwrapShared<Region>(info)) {}

Napi::Value RegionObject::index(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), region_->index());
}

Napi::Value RegionObject::size(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(region_->info().size));
}

Napi::Value RegionObject::mappable(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto list = Napi::Array::New(env);
  for (const Extent& extent : region_->info().mappable) {
    auto entry = Napi::Object::New(env);
    entry["offset"] = static_cast<double>(extent.offset);
    entry["length"] = static_cast<double>(extent.length);
    list[list.Length()] = entry;
  }
  return list;
}

template <uint32_t Width>
Napi::Value RegionObject::read(const Napi::CallbackInfo& info) {
  auto result = region_->read(toUnsigned(info, 0), Width);
  const uint64_t value = valueOrThrow(info.Env(), result);
  if constexpr (Width == 8) return Napi::BigInt::New(info.Env(), value);
  return Napi::Number::New(info.Env(), static_cast<double>(value));
}

template <uint32_t Width>
void RegionObject::write(const Napi::CallbackInfo& info) {
  const uint64_t value = Width == 8 ? toUint64(info, 1) : toUnsigned(info, 1);
  throwIfFailed(info.Env(), region_->write(toUnsigned(info, 0), Width, value));
}

Napi::Value RegionObject::map(const Napi::CallbackInfo& info) {
  auto memory = region_->map(toUnsigned(info, 0), toUnsigned(info, 1));
  return MemoryObject::wrap(info.Env(), std::move(valueOrThrow(info.Env(), memory)));
}

}  // namespace p2pmem
