#include "bindings/io_ring_object.h"

#include <vector>

#include "bindings/addon_data.h"
#include "bindings/arguments.h"
#include "bindings/errors.h"
#include "bindings/memory_object.h"

namespace p2pmem {

void IoRingObject::define(Napi::Env env) {
  AddonData::of(env).ioRing = Napi::Persistent(
      DefineClass(env, "NativeIoRing",
                  {InstanceAccessor<&IoRingObject::layout>("layout"),
                   InstanceMethod<&IoRingObject::rings>("rings"),
                   InstanceMethod<&IoRingObject::entries>("entries"),
                   InstanceMethod<&IoRingObject::hold>("hold"),
                   InstanceMethod<&IoRingObject::registerFiles>("registerFiles"),
                   InstanceMethod<&IoRingObject::registerBuffers>("registerBuffers"),
                   InstanceMethod<&IoRingObject::close>("close")}));
}

Napi::Object IoRingObject::wrap(Napi::Env env, std::shared_ptr<IoRing> ring) {
  return wrapShared(env, AddonData::of(env).ioRing, std::move(ring));
}

IoRingObject::IoRingObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), ring_(unwrapShared<IoRing>(info)) {
  defineOwn<IoRingObject, &IoRingObject::enter>(info, this, "enter");
}

IoRing& IoRingObject::ring(Napi::Env env) const {
  if (!ring_) throwClosed(env, "the io_uring");
  return *ring_;
}

Napi::Value IoRingObject::layout(const Napi::CallbackInfo& info) {
  const io_uring_params& parameters = ring(info.Env()).parameters();
  auto object = Napi::Object::New(info.Env());
  object["sqEntries"] = parameters.sq_entries;
  object["sqTail"] = parameters.sq_off.tail;
  object["sqArray"] = parameters.sq_off.array;
  object["cqEntries"] = parameters.cq_entries;
  object["cqHead"] = parameters.cq_off.head;
  object["cqTail"] = parameters.cq_off.tail;
  object["cqes"] = parameters.cq_off.cqes;
  return object;
}

Napi::Value IoRingObject::rings(const Napi::CallbackInfo& info) {
  return MemoryObject::wrap(info.Env(), ring(info.Env()).rings());
}

Napi::Value IoRingObject::entries(const Napi::CallbackInfo& info) {
  return MemoryObject::wrap(info.Env(), ring(info.Env()).entries());
}

Napi::Value IoRingObject::hold(const Napi::CallbackInfo& info) {
  const auto& memory =
      toWrapped<MemoryObject>(info, 0, AddonData::of(info.Env()).memory).memory(info.Env());
  ring(info.Env()).hold(memory);
  // User addresses have 47 bits, 56 at most: a double holds what is a multiple of a page.
  return Napi::Number::New(info.Env(),
                           static_cast<double>(reinterpret_cast<uintptr_t>(memory->data())));
}

void IoRingObject::registerFiles(const Napi::CallbackInfo& info) {
  const auto list = info[0].As<Napi::Array>();
  std::vector<int> files;
  for (uint32_t i = 0; i < list.Length(); i++)
    files.push_back(list.Get(i).As<Napi::Number>().Int32Value());
  throwIfFailed(info.Env(), ring(info.Env()).registerFiles(files));
}

void IoRingObject::registerBuffers(const Napi::CallbackInfo& info) {
  const uint64_t stride = toUnsigned(info, 1);
  const uint64_t count = toUnsigned(info, 2);
  Memory& memory = toWrapped<MemoryObject>(info, 0, AddonData::of(info.Env()).memory)
                       .range(info.Env(), 0, stride * count);
  std::vector<void*> pieces;
  for (uint64_t i = 0; i < count; i++) pieces.push_back(memory.data() + i * stride);
  throwIfFailed(info.Env(), ring(info.Env()).registerBuffers(pieces, stride));
}

Napi::Value IoRingObject::enter(const Napi::CallbackInfo& info) {
  // For every batch: no more checks than keep a mistake from doing harm.
  const auto number = [&](size_t index) { return info[index].As<Napi::Number>(); };
  const int64_t result =
      ring(info.Env())
          .enter(number(0).Uint32Value(), number(1).Uint32Value(), number(2).Int64Value());
  return Napi::Number::New(info.Env(), static_cast<double>(result));
}

void IoRingObject::close(const Napi::CallbackInfo&) {
  const std::shared_ptr<IoRing> ring = std::move(ring_);
  if (ring) ring->close();
}

}  // namespace p2pmem
