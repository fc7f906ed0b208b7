#include "bindings/rdma_device_object.h"

#include <utility>

#include "bindings/addon_data.h"
#include "bindings/arguments.h"
#include "bindings/completion_queue_object.h"
#include "bindings/errors.h"
#include "bindings/memory_object.h"
#include "bindings/protection_domain_object.h"
#include "bindings/rdma_values.h"

namespace p2pmem {

namespace {

// The device's asynchronous events, on this environment's event loop.
class AsyncEventWatch final : public FdWatch {
 public:
  static std::shared_ptr<FdWatch> start(Napi::Env env, Napi::Function handler,
                                        std::shared_ptr<rdma::RdmaDevice> device) {
    auto listener = rdma::AsyncListener::create(std::move(device));
    auto& listening = valueOrThrow(env, listener);
    UniqueFd fd = duplicateFd(env, listening->fd());
    return started(std::shared_ptr<FdWatch>(
        new AsyncEventWatch(env, handler, std::move(fd), std::move(listening))));
  }

 private:
  AsyncEventWatch(Napi::Env env, Napi::Function handler, UniqueFd fd,
                  std::shared_ptr<rdma::AsyncListener> listener)
      : FdWatch(env, handler, std::move(fd)), listener_(std::move(listener)) {}

  void onReadable(Napi::Env env) override {
    while (!isStopped()) {
      const auto event = listener_->take();
      if (!event) return;
      handler().MakeCallback(env.Global(), {Napi::Number::New(env, event->type),
                                            Napi::Number::New(env, event->queuePair),
                                            Napi::Number::New(env, event->port)});
    }
  }

  std::shared_ptr<rdma::AsyncListener> listener_;
};

uint8_t portArgument(const Napi::CallbackInfo& info) {
  const uint64_t number = toUnsigned(info, 0);
  if (number > 255)
    throwError(info.Env(),
               Error{.code = "NO_PORT", .message = "there is no port " + std::to_string(number)});
  return static_cast<uint8_t>(number);
}

}  // namespace

void RdmaDeviceObject::define(Napi::Env env) {
  AddonData::of(env).rdmaDevice = Napi::Persistent(DefineClass(
      env, "NativeRdmaDevice",
      {InstanceAccessor<&RdmaDeviceObject::id>("id"),
       InstanceAccessor<&RdmaDeviceObject::name>("name"),
       InstanceMethod<&RdmaDeviceObject::attributes>("attributes"),
       InstanceMethod<&RdmaDeviceObject::port>("port"),
       InstanceMethod<&RdmaDeviceObject::gids>("gids"),
       InstanceMethod<&RdmaDeviceObject::allocateDomain>("allocateDomain"),
       InstanceMethod<&RdmaDeviceObject::createCompletionQueue>("createCompletionQueue"),
       InstanceMethod<&RdmaDeviceObject::allocateMemory>("allocateMemory"),
       InstanceMethod<&RdmaDeviceObject::onEvent>("onEvent"),
       InstanceMethod<&RdmaDeviceObject::close>("close")}));
}

Napi::Object RdmaDeviceObject::wrap(Napi::Env env, std::shared_ptr<rdma::RdmaDevice> device) {
  return wrapShared(env, AddonData::of(env).rdmaDevice, std::move(device));
}

Napi::Value RdmaDeviceObject::open(const Napi::CallbackInfo& info) {
  auto device = rdma::RdmaDeviceTable::instance().find(static_cast<uint32_t>(toUnsigned(info, 0)));
  if (!device) throwGone(info.Env(), "that RDMA device");
  return wrap(info.Env(), std::move(device));
}

RdmaDeviceObject::RdmaDeviceObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), device_(unwrapShared<rdma::RdmaDevice>(info)) {}

RdmaDeviceObject::~RdmaDeviceObject() { release(); }

const std::shared_ptr<rdma::RdmaDevice>& RdmaDeviceObject::device(Napi::Env env) const {
  if (!device_) throwClosed(env, "the RDMA device");
  return device_;
}

Napi::Value RdmaDeviceObject::id(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), rdma::RdmaDeviceTable::instance().idOf(device(info.Env())));
}

Napi::Value RdmaDeviceObject::name(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), device(info.Env())->name());
}

Napi::Value RdmaDeviceObject::attributes(const Napi::CallbackInfo& info) {
  auto attributes = device(info.Env())->attributes();
  return rdma_values::fromAttributes(info.Env(), valueOrThrow(info.Env(), attributes));
}

Napi::Value RdmaDeviceObject::port(const Napi::CallbackInfo& info) {
  auto port = device(info.Env())->port(portArgument(info));
  return rdma_values::fromPort(info.Env(), valueOrThrow(info.Env(), port));
}

Napi::Value RdmaDeviceObject::gids(const Napi::CallbackInfo& info) {
  auto gids = device(info.Env())->gids(portArgument(info));
  return rdma_values::fromGids(info.Env(), valueOrThrow(info.Env(), gids));
}

Napi::Value RdmaDeviceObject::allocateDomain(const Napi::CallbackInfo& info) {
  auto domain = device(info.Env())->allocateDomain();
  return ProtectionDomainObject::wrap(info.Env(), std::move(valueOrThrow(info.Env(), domain)));
}

Napi::Value RdmaDeviceObject::createCompletionQueue(const Napi::CallbackInfo& info) {
  // So many records, 64 bytes each, and devices' own limits, are far below.
  constexpr uint64_t kMostEntries = 1u << 24;
  const uint64_t entries = toUnsigned(info, 0);
  if (entries == 0 || entries > kMostEntries)
    throwError(info.Env(),
               Error{.code = "RDMA_LIMIT",
                     .message = "a completion queue has 1 to " + std::to_string(kMostEntries) +
                                " entries, not " + std::to_string(entries)});
  auto queue = device(info.Env())
                   ->createCompletionQueue(static_cast<uint32_t>(entries), info[1].ToBoolean());
  return CompletionQueueObject::create(info.Env(), std::move(valueOrThrow(info.Env(), queue)));
}

Napi::Value RdmaDeviceObject::allocateMemory(const Napi::CallbackInfo& info) {
  auto memory = device(info.Env())->allocateMemory(toUnsigned(info, 0));
  return MemoryObject::wrap(info.Env(), std::move(valueOrThrow(info.Env(), memory)));
}

void RdmaDeviceObject::onEvent(const Napi::CallbackInfo& info) {
  std::shared_ptr<FdWatch> added;
  if (info[0].IsFunction())
    added = AsyncEventWatch::start(info.Env(), info[0].As<Napi::Function>(), device(info.Env()));
  if (events_) events_->stop();
  events_ = std::move(added);
}

void RdmaDeviceObject::close(const Napi::CallbackInfo&) { release(); }

void RdmaDeviceObject::release() {
  if (events_) events_->stop();
  events_.reset();
  device_.reset();
}

}  // namespace p2pmem
