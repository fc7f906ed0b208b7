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
#include "core/clock.h"

namespace p2pmem {

void QueuePairObject::define(Napi::Env env) {
  AddonData::of(env).queuePair = Napi::Persistent(
      DefineClass(env, "NativeQueuePair",
                  {InstanceAccessor<&QueuePairObject::id>("id"),
                   InstanceAccessor<&QueuePairObject::number>("number"),
                   InstanceAccessor<&QueuePairObject::maxInline>("maxInline"),
                   InstanceMethod<&QueuePairObject::ring<&Shared::sends>>("sends"),
                   InstanceMethod<&QueuePairObject::ring<&Shared::receives>>("receives"),
                   InstanceAccessor<&QueuePairObject::stride<&Shared::sends>>("sendStride"),
                   InstanceAccessor<&QueuePairObject::stride<&Shared::receives>>("receiveStride"),
                   InstanceMethod<&QueuePairObject::initialize>("initialize"),
                   InstanceMethod<&QueuePairObject::connect>("connect"),
                   InstanceMethod<&QueuePairObject::toError>("toError"),
                   InstanceMethod<&QueuePairObject::state>("state"),
                   InstanceMethod<&QueuePairObject::close>("close")}));
}

Napi::Object QueuePairObject::create(Napi::Env env, std::shared_ptr<rdma::QueuePair> pair,
                                     const rdma::QueuePairOptions& options) {
  Shared::Ring sends = makeRing(env, options.sends, rdma::sendStride(options.sendSge));
  Shared::Ring receives = makeRing(env, options.receives, rdma::receiveStride(options.receiveSge));
  // Not by make_shared: it has no constructor, and cannot be moved.
  std::shared_ptr<Shared> shared(new Shared{.pair = Closable<rdma::QueuePair>(std::move(pair)),
                                            .sends = std::move(sends),
                                            .receives = std::move(receives)});
  auto object = wrapShared(env, AddonData::of(env).queuePair, std::move(shared));
  Unwrap(object)->isOwner_ = true;
  return object;
}

SharedQueuePair::Ring QueuePairObject::makeRing(Napi::Env env, uint32_t entries, uint32_t stride) {
  const uint32_t records = std::bit_ceil(std::max(entries, 1u));
  Shared::Ring ring = {.memory = nullptr, .stride = stride, .mask = records - 1};
  auto memory = PinnedMemory::allocate(ring.records() + sizeof(rdma::PostCall), false);
  ring.memory = std::move(valueOrThrow(env, memory));
  return ring;
}

Napi::Value QueuePairObject::open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto shared = QueuePairTable::instance().find(static_cast<uint32_t>(toUnsigned(info, 0)));
  if (!shared || shared->pair.isClosed()) throwGone(env, "that queue pair");
  return wrapShared(env, AddonData::of(env).queuePair, std::move(shared));
}

QueuePairObject::QueuePairObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), shared_(unwrapShared<Shared>(info)) {
  using Self = QueuePairObject;
  using Pair = rdma::QueuePair;
  defineBare<Self, &Self::post<&Shared::sends, &Pair::postSends>>(info, this, "postSends");
  defineBare<Self, &Self::post<&Shared::receives, &Pair::postReceives>>(info, this, "postReceives");
}

SharedQueuePair& QueuePairObject::shared(Napi::Env env) const {
  if (!shared_) throwClosed(env, "the queue pair");
  return *shared_;
}

Napi::Value QueuePairObject::id(const Napi::CallbackInfo& info) {
  (void)shared(info.Env());
  return Napi::Number::New(info.Env(), QueuePairTable::instance().idOf(shared_));
}

Napi::Value QueuePairObject::number(const Napi::CallbackInfo& info) {
  const auto read = [](rdma::QueuePair& pair) { return pair.number(); };
  return Napi::Number::New(info.Env(), onPair(info.Env(), read));
}

Napi::Value QueuePairObject::maxInline(const Napi::CallbackInfo& info) {
  const auto read = [](rdma::QueuePair& pair) { return pair.maxInline(); };
  return Napi::Number::New(info.Env(), onPair(info.Env(), read));
}

template <SharedQueuePair::Ring SharedQueuePair::*Which>
Napi::Value QueuePairObject::ring(const Napi::CallbackInfo& info) {
  return MemoryObject::wrap(info.Env(), (shared(info.Env()).*Which).memory);
}

template <SharedQueuePair::Ring SharedQueuePair::*Which>
Napi::Value QueuePairObject::stride(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), (shared(info.Env()).*Which).stride);
}

void QueuePairObject::initialize(const Napi::CallbackInfo& info) {
  const auto options = rdma_values::toConnectionOptions(info[0]);
  throwIfFailed(info.Env(), onPair(info.Env(), [&](rdma::QueuePair& pair) {
                  return pair.initialize(options);
                }));
}

void QueuePairObject::connect(const Napi::CallbackInfo& info) {
  const auto options = rdma_values::toConnectionOptions(info[0]);
  const auto remote = rdma_values::toQueuePairAddress(info[1]);
  throwIfFailed(info.Env(), onPair(info.Env(), [&](rdma::QueuePair& pair) {
                  return pair.connect(options, remote);
                }));
}

void QueuePairObject::toError(const Napi::CallbackInfo& info) {
  const auto fail = [](rdma::QueuePair& pair) { return pair.toError(); };
  throwIfFailed(info.Env(), onPair(info.Env(), fail));
}

Napi::Value QueuePairObject::state(const Napi::CallbackInfo& info) {
  auto state = onPair(info.Env(), [](rdma::QueuePair& pair) { return pair.state(); });
  return Napi::String::New(info.Env(), rdma_values::nameOf(valueOrThrow(info.Env(), state)));
}

// For every batch: no more checks than keep a mistake from doing harm.
template <SharedQueuePair::Ring SharedQueuePair::*Which, auto Post>
void QueuePairObject::post(Napi::Env env) {
  const Shared::Ring& ring = shared(env).*Which;
  rdma::PostCall& call = ring.call();
  const uint32_t count = call.count;
  if (count > ring.mask + 1) {
    call.taken = -EINVAL;
    return;
  }
  call.taken = onPair(env, [&](rdma::QueuePair& pair) {
    return (pair.*Post)(ring.memory->data(), ring.mask, call.first, count);
  });
  // Not before: that would make whoever waits for them wait for the clock, too.
  call.time = monotonicNs();
}

void QueuePairObject::close(const Napi::CallbackInfo& info) {
  if (shared_ && isOwner_) throwIfFailed(info.Env(), shared_->pair.close());
  shared_.reset();
}

}  // namespace p2pmem
