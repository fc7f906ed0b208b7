#include "bindings/protection_domain_object.h"

#include <functional>
#include <optional>
#include <utility>

#include "bindings/addon_data.h"
#include "bindings/arguments.h"
#include "bindings/completion_queue_object.h"
#include "bindings/errors.h"
#include "bindings/memory_object.h"
#include "bindings/memory_region_object.h"
#include "bindings/queue_pair_object.h"
#include "bindings/rdma_values.h"

namespace p2pmem {

namespace {

using Queue = Closable<rdma::CompletionQueue>;

Queue& queueArgument(const Napi::CallbackInfo& info, size_t index) {
  return toWrapped<CompletionQueueObject>(info, index, AddonData::of(info.Env()).completionQueue)
      .queue(info.Env());
}

/// Over completion queues that nobody closes meanwhile. Errors: GONE, those of the domain.
Result<std::shared_ptr<rdma::QueuePair>> createOver(rdma::ProtectionDomain& domain, Queue& sends,
                                                    Queue& receives,
                                                    const rdma::QueuePairOptions& options) {
  // In one order, since another thread may ask for the same two the other way round.
  const bool inOrder = !std::less<>()(&receives, &sends);
  const Queue::Use first(inOrder ? sends : receives);
  std::optional<Queue::Use> second;
  if (&sends != &receives) second.emplace(inOrder ? receives : sends);
  if (!first || (second && !*second))
    return Error{.code = "GONE", .message = "the completion queue has been closed"};
  const auto& other = second ? second->object() : first.object();
  return domain.createQueuePair(inOrder ? first.object() : other, inOrder ? other : first.object(),
                                options);
}

}  // namespace

void ProtectionDomainObject::define(Napi::Env env) {
  AddonData::of(env).protectionDomain = Napi::Persistent(
      DefineClass(env, "NativeProtectionDomain",
                  {InstanceMethod<&ProtectionDomainObject::registerHost>("registerHost"),
                   InstanceMethod<&ProtectionDomainObject::registerDmabuf>("registerDmabuf"),
                   InstanceMethod<&ProtectionDomainObject::createQueuePair>("createQueuePair"),
                   InstanceMethod<&ProtectionDomainObject::close>("close")}));
}

Napi::Object ProtectionDomainObject::wrap(Napi::Env env,
                                          std::shared_ptr<rdma::ProtectionDomain> domain) {
  return wrapShared(env, AddonData::of(env).protectionDomain, std::move(domain));
}

ProtectionDomainObject::ProtectionDomainObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), domain_(unwrapShared<rdma::ProtectionDomain>(info)) {}

rdma::ProtectionDomain& ProtectionDomainObject::domain(Napi::Env env) const {
  if (!domain_) throwClosed(env, "the protection domain");
  return *domain_;
}

Napi::Value ProtectionDomainObject::registerHost(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const uint64_t offset = toUnsigned(info, 1);
  const uint64_t length = toUnsigned(info, 2);
  const auto& memory = toWrapped<MemoryObject>(info, 0, AddonData::of(env).memory);
  (void)memory.range(env, offset, length);
  auto region = domain(env).registerHost(memory.memory(env), offset, length,
                                         static_cast<uint32_t>(toUnsigned(info, 3)));
  return MemoryRegionObject::wrap(env, std::move(valueOrThrow(env, region)));
}

Napi::Value ProtectionDomainObject::registerDmabuf(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::shared_ptr<Memory> keep;
  if (!info[5].IsNull())
    keep = toWrapped<MemoryObject>(info, 5, AddonData::of(env).memory).memory(env);
  auto region = domain(env).registerDmabuf(
      static_cast<int>(toUnsigned(info, 0)), toUnsigned(info, 1), toUnsigned(info, 2),
      toUint64(info, 3), static_cast<uint32_t>(toUnsigned(info, 4)), std::move(keep));
  return MemoryRegionObject::wrap(env, std::move(valueOrThrow(env, region)));
}

Napi::Value ProtectionDomainObject::createQueuePair(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const rdma::QueuePairOptions options = rdma_values::toQueuePairOptions(info[2]);
  auto pair = createOver(domain(env), queueArgument(info, 0), queueArgument(info, 1), options);
  return QueuePairObject::create(env, std::move(valueOrThrow(env, pair)), options);
}

void ProtectionDomainObject::close(const Napi::CallbackInfo&) { domain_.reset(); }

}  // namespace p2pmem
