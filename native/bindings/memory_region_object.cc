#include "bindings/memory_region_object.h"

#include "bindings/addon_data.h"
#include "bindings/arguments.h"
#include "bindings/errors.h"

namespace p2pmem {

void MemoryRegionObject::define(Napi::Env env) {
  AddonData::of(env).memoryRegion =
      Napi::Persistent(DefineClass(env, "NativeMemoryRegion",
                                   {InstanceAccessor<&MemoryRegionObject::lkey>("lkey"),
                                    InstanceAccessor<&MemoryRegionObject::rkey>("rkey"),
                                    InstanceAccessor<&MemoryRegionObject::address>("address"),
                                    InstanceAccessor<&MemoryRegionObject::length>("length"),
                                    InstanceMethod<&MemoryRegionObject::close>("close")}));
}

Napi::Object MemoryRegionObject::wrap(Napi::Env env, std::shared_ptr<rdma::MemoryRegion> region) {
  return wrapShared(env, AddonData::of(env).memoryRegion, std::move(region));
}

MemoryRegionObject::MemoryRegionObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), region_(unwrapShared<rdma::MemoryRegion>(info)) {}

rdma::MemoryRegion& MemoryRegionObject::region(Napi::Env env) const {
  if (!region_) throwClosed(env, "the memory region");
  return *region_;
}

Napi::Value MemoryRegionObject::lkey(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), region(info.Env()).lkey());
}

Napi::Value MemoryRegionObject::rkey(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), region(info.Env()).rkey());
}

Napi::Value MemoryRegionObject::address(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), region(info.Env()).address());
}

Napi::Value MemoryRegionObject::length(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(region(info.Env()).length()));
}

void MemoryRegionObject::close(const Napi::CallbackInfo& info) {
  if (!region_) return;
  throwIfFailed(info.Env(), region_->deregister());
  region_.reset();
}

}  // namespace p2pmem
