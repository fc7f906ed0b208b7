#include "bindings/device_object.h"

#include "bindings/addon_data.h"
#include "bindings/arguments.h"
#include "bindings/errors.h"
#include "bindings/region_object.h"

namespace p2pmem {

void DeviceObject::define(Napi::Env env) {
  AddonData::of(env).device = Napi::Persistent(
      DefineClass(env, "NativeDevice",
                  {InstanceAccessor<&DeviceObject::address>("address"),
                   InstanceAccessor<&DeviceObject::resettable>("resettable"),
                   InstanceAccessor<&DeviceObject::msixVectors>("msixVectors"),
                   InstanceMethod<&DeviceObject::region>("region"),
                   InstanceMethod<&DeviceObject::setBusMaster>("setBusMaster"),
                   InstanceMethod<&DeviceObject::reset>("reset"),
                   InstanceMethod<&DeviceObject::restore>("restore"),
                   InstanceMethod<&DeviceObject::exportDmabuf>("exportDmabuf"),
                   InstanceMethod<&DeviceObject::onInterrupt>("onInterrupt"),
                   InstanceMethod<&DeviceObject::onEvent<DeviceEvent::error>>("onError"),
                   InstanceMethod<&DeviceObject::onEvent<DeviceEvent::request>>("onRequest"),
                   InstanceMethod<&DeviceObject::close>("close")}));
}

Napi::Object DeviceObject::wrap(Napi::Env env, std::shared_ptr<Device> device) {
  return wrapShared(env, AddonData::of(env).device, std::move(device));
}

DeviceObject::DeviceObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), device_(unwrapShared<Device>(info)) {}

Device& DeviceObject::device(Napi::Env env) const {
  if (!device_) throwClosed(env, "the device");
  return *device_;
}

Napi::Value DeviceObject::address(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), device(info.Env()).address());
}

Napi::Value DeviceObject::resettable(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), device(info.Env()).info().resettable);
}

Napi::Value DeviceObject::msixVectors(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), device(info.Env()).info().msixVectors);
}

Napi::Value DeviceObject::region(const Napi::CallbackInfo& info) {
  auto region = device(info.Env()).region(static_cast<uint32_t>(toUnsigned(info, 0)));
  return RegionObject::wrap(info.Env(), std::move(valueOrThrow(info.Env(), region)));
}

void DeviceObject::setBusMaster(const Napi::CallbackInfo& info) {
  throwIfFailed(info.Env(), device(info.Env()).setBusMaster(info[0].ToBoolean()));
}

void DeviceObject::reset(const Napi::CallbackInfo& info) {
  throwIfFailed(info.Env(), device(info.Env()).reset());
}

void DeviceObject::restore(const Napi::CallbackInfo& info) {
  throwIfFailed(info.Env(), device(info.Env()).restore());
}

Napi::Value DeviceObject::exportDmabuf(const Napi::CallbackInfo& info) {
  auto fd = device(info.Env())
                .exportDmabuf(static_cast<uint32_t>(toUnsigned(info, 0)), toUnsigned(info, 1),
                              toUnsigned(info, 2));
  return Napi::Number::New(info.Env(), valueOrThrow(info.Env(), fd).release());
}

void DeviceObject::onInterrupt(const Napi::CallbackInfo& info) {
  const auto vector = static_cast<uint32_t>(toUnsigned(info, 0));
  Device& owned = device(info.Env());
  setHandler(info.Env(), interrupts_[vector], info[1],
             [&](int eventFd) { return owned.setInterrupt(vector, eventFd); });
}

template <DeviceEvent Event>
void DeviceObject::onEvent(const Napi::CallbackInfo& info) {
  Device& owned = device(info.Env());
  setHandler(info.Env(), events_[Event], info[0],
             [&](int eventFd) { return owned.setEvent(Event, eventFd); });
}

template <class Route>
void DeviceObject::setHandler(Napi::Env env, std::shared_ptr<Interrupt>& slot, Napi::Value handler,
                              Route route) {
  std::shared_ptr<Interrupt> added;
  if (handler.IsFunction()) added = Interrupt::start(env, handler.As<Napi::Function>());
  if (const Status status = route(added ? added->eventFd() : -1); !status.ok()) {
    if (added) added->stop();
    throwError(env, status.error());
  }
  // The device has let go of the old eventfd by now.
  if (slot) slot->stop();
  slot = std::move(added);
}

void DeviceObject::close(const Napi::CallbackInfo&) { release(); }

DeviceObject::~DeviceObject() { release(); }

void DeviceObject::release() {
  // Best effort: closing the device takes interrupts and events away in any case.
  for (const auto& [vector, interrupt] : interrupts_) {
    if (!interrupt) continue;
    (void)device_->setInterrupt(vector, -1);
    interrupt->stop();
  }
  for (const auto& [event, interrupt] : events_) {
    if (!interrupt) continue;
    (void)device_->setEvent(event, -1);
    interrupt->stop();
  }
  interrupts_.clear();
  events_.clear();
  device_.reset();
}

}  // namespace p2pmem
