#include "bindings/queue_pair_object.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "bindings/addon_data.h"
#include "bindings/arguments.h"
#include "bindings/errors.h"
#include "bindings/memory_object.h"
#include "bindings/rdma_values.h"

namespace p2pmem {

void QueuePairObject::define(Napi::Env env) {
  AddonData::of(env).queuePair = Napi::Persistent(
      DefineClass(env, "NativeQueuePair",
                  {InstanceAccessor<&QueuePairObject::number>("number"),
                   InstanceAccessor<&QueuePairObject::maxInline>("maxInline"),
                   InstanceMethod<&QueuePairObject::ring<&Parts::sends>>("sends"),
                   InstanceMethod<&QueuePairObject::ring<&Parts::receives>>("receives"),
                   InstanceAccessor<&QueuePairObject::stride<&Parts::sends>>("sendStride"),
                   InstanceAccessor<&QueuePairObject::stride<&Parts::receives>>("receiveStride"),
                   InstanceMethod<&QueuePairObject::initialize>("initialize"),
                   InstanceMethod<&QueuePairObject::connect>("connect"),
                   InstanceMethod<&QueuePairObject::toError>("toError"),
                   InstanceMethod<&QueuePairObject::state>("state"),
                   InstanceMethod<&QueuePairObject::postSends>("postSends"),
                   InstanceMethod<&QueuePairObject::postReceives>("postReceives"),
                   InstanceMethod<&QueuePairObject::close>("close")}));
}

Napi::Object QueuePairObject::create(Napi::Env env, std::shared_ptr<rdma::QueuePair> pair,
                                     const rdma::QueuePairOptions& options) {
  Ring sends = makeRing(env, options.sends, rdma::sendStride(options.sendSge));
  Ring receives = makeRing(env, options.receives, rdma::receiveStride(options.receiveSge));
  return wrapShared(
      env, AddonData::of(env).queuePair,
      std::make_shared<Parts>(Parts{
          .pair = std::move(pair), .sends = std::move(sends), .receives = std::move(receives)}));
}

QueuePairObject::Ring QueuePairObject::makeRing(Napi::Env env, uint32_t entries, uint32_t stride) {
  const uint32_t records = std::bit_ceil(std::max(entries, 1u));
  auto memory = PinnedMemory::allocate(uint64_t{records} * stride, false);
  return {.memory = std::move(valueOrThrow(env, memory)), .stride = stride, .mask = records - 1};
}

QueuePairObject::QueuePairObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), parts_(std::move(*unwrapShared<Parts>(info))) {}

rdma::QueuePair& QueuePairObject::pair(Napi::Env env) const {
  if (!parts_.pair) throwClosed(env, "the queue pair");
  return *parts_.pair;
}

Napi::Value QueuePairObject::number(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), pair(info.Env()).number());
}

Napi::Value QueuePairObject::maxInline(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), pair(info.Env()).maxInline());
}

template <QueuePairObject::Ring QueuePairObject::Parts::*Which>
Napi::Value QueuePairObject::ring(const Napi::CallbackInfo& info) {
  (void)pair(info.Env());
  return MemoryObject::wrap(info.Env(), (parts_.*Which).memory);
}

template <QueuePairObject::Ring QueuePairObject::Parts::*Which>
Napi::Value QueuePairObject::stride(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), (parts_.*Which).stride);
}

void QueuePairObject::initialize(const Napi::CallbackInfo& info) {
  throwIfFailed(info.Env(), pair(info.Env()).initialize(rdma_values::toConnectionOptions(info[0])));
}

void QueuePairObject::connect(const Napi::CallbackInfo& info) {
  const auto options = rdma_values::toConnectionOptions(info[0]);
  const auto remote = rdma_values::toQueuePairAddress(info[1]);
  throwIfFailed(info.Env(), pair(info.Env()).connect(options, remote));
}

void QueuePairObject::toError(const Napi::CallbackInfo& info) {
  throwIfFailed(info.Env(), pair(info.Env()).toError());
}

Napi::Value QueuePairObject::state(const Napi::CallbackInfo& info) {
  auto state = pair(info.Env()).state();
  return Napi::String::New(info.Env(), rdma_values::nameOf(valueOrThrow(info.Env(), state)));
}

// For every batch: no more checks than keep a mistake from doing harm. `first` is taken modulo
// 2**32, which is a multiple of the ring.
Napi::Value QueuePairObject::postSends(const Napi::CallbackInfo& info) {
  const uint32_t count = info[1].As<Napi::Number>().Uint32Value();
  const Ring& ring = parts_.sends;
  rdma::QueuePair& posted = pair(info.Env());
  if (count > ring.mask + 1) return Napi::Number::New(info.Env(), -EINVAL);
  return Napi::Number::New(info.Env(),
                           posted.postSends(ring.memory->data(), ring.mask,
                                            info[0].As<Napi::Number>().Uint32Value(), count));
}

Napi::Value QueuePairObject::postReceives(const Napi::CallbackInfo& info) {
  const uint32_t count = info[1].As<Napi::Number>().Uint32Value();
  const Ring& ring = parts_.receives;
  rdma::QueuePair& posted = pair(info.Env());
  if (count > ring.mask + 1) return Napi::Number::New(info.Env(), -EINVAL);
  return Napi::Number::New(info.Env(),
                           posted.postReceives(ring.memory->data(), ring.mask,
                                               info[0].As<Napi::Number>().Uint32Value(), count));
}

void QueuePairObject::close(const Napi::CallbackInfo& info) {
  if (!parts_.pair) return;
  throwIfFailed(info.Env(), parts_.pair->close());
  parts_ = {};
}

}  // namespace p2pmem
