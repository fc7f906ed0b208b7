#include "bindings/completion_queue_object.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <utility>

#include "bindings/addon_data.h"
#include "bindings/arguments.h"
#include "bindings/errors.h"
#include "bindings/memory_object.h"
#include "core/clock.h"

namespace p2pmem {

namespace {

// The queue's events, on this environment's event loop.
class CompletionWatch final : public FdWatch {
 public:
  static std::shared_ptr<FdWatch> start(Napi::Env env, Napi::Function handler, int channel,
                                        std::shared_ptr<SharedCompletionQueue> queue) {
    UniqueFd fd = duplicateFd(env, channel);
    return started(std::shared_ptr<FdWatch>(
        new CompletionWatch(env, handler, std::move(fd), std::move(queue))));
  }

 private:
  CompletionWatch(Napi::Env env, Napi::Function handler, UniqueFd fd,
                  std::shared_ptr<SharedCompletionQueue> queue)
      : FdWatch(env, handler, std::move(fd)), queue_(std::move(queue)) {}

  void onReadable(Napi::Env env) override {
    {
      const Closable<rdma::CompletionQueue>::Use use(queue_->queue);
      if (use) use.object()->takeEvents();
    }
    // Closed by another environment, with an event on its way.
    if (queue_->queue.isClosed()) return stop();
    handler().MakeCallback(env.Global(), 0, nullptr);
  }

  std::shared_ptr<SharedCompletionQueue> queue_;
};

}  // namespace

void CompletionQueueObject::define(Napi::Env env) {
  AddonData::of(env).completionQueue =
      Napi::Persistent(DefineClass(env, "NativeCompletionQueue",
                                   {InstanceAccessor<&CompletionQueueObject::id>("id"),
                                    InstanceAccessor<&CompletionQueueObject::entries>("entries"),
                                    InstanceMethod<&CompletionQueueObject::records>("records"),
                                    InstanceMethod<&CompletionQueueObject::arm>("arm"),
                                    InstanceMethod<&CompletionQueueObject::onEvent>("onEvent"),
                                    InstanceMethod<&CompletionQueueObject::waitEvent>("waitEvent"),
                                    InstanceMethod<&CompletionQueueObject::close>("close")}));
}

Napi::Object CompletionQueueObject::create(Napi::Env env,
                                           std::shared_ptr<rdma::CompletionQueue> queue) {
  const uint32_t entries = queue->entries();
  auto records = PinnedMemory::allocate(
      entries * sizeof(rdma::CompletionRecord) + sizeof(rdma::PollCall), false);
  // Not by make_shared: it has no constructor, and cannot be moved.
  std::shared_ptr<Shared> shared(
      new Shared{.queue = Closable<rdma::CompletionQueue>(std::move(queue)),
                 .entries = entries,
                 .records = std::move(valueOrThrow(env, records))});
  auto object = wrapShared(env, AddonData::of(env).completionQueue, std::move(shared));
  Unwrap(object)->isOwner_ = true;
  return object;
}

Napi::Value CompletionQueueObject::open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto shared = CompletionQueueTable::instance().find(static_cast<uint32_t>(toUnsigned(info, 0)));
  if (!shared || shared->queue.isClosed()) throwGone(env, "that completion queue");
  return wrapShared(env, AddonData::of(env).completionQueue, std::move(shared));
}

CompletionQueueObject::CompletionQueueObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), shared_(unwrapShared<Shared>(info)) {
  defineBare<CompletionQueueObject, &CompletionQueueObject::poll>(info, this, "poll");
}

CompletionQueueObject::~CompletionQueueObject() { release(); }

SharedCompletionQueue& CompletionQueueObject::shared(Napi::Env env) const {
  if (!shared_) throwClosed(env, "the completion queue");
  return *shared_;
}

int CompletionQueueObject::channel(Napi::Env env) {
  // Duplicated while the queue cannot be closed.
  const int fd = onQueue(env, [this](rdma::CompletionQueue& queue) {
    if (!channel_ && queue.eventFd() >= 0)
      channel_.reset(fcntl(queue.eventFd(), F_DUPFD_CLOEXEC, 0));
    return queue.eventFd();
  });
  if (fd < 0)
    throwError(env, Error{.code = "UNSUPPORTED",
                          .message = "the completion queue was made without a channel"});
  if (!channel_)
    throwError(env, systemError("IO", "fcntl", "cannot duplicate a completion channel"));
  return channel_.get();
}

Napi::Value CompletionQueueObject::id(const Napi::CallbackInfo& info) {
  (void)shared(info.Env());
  return Napi::Number::New(info.Env(), CompletionQueueTable::instance().idOf(shared_));
}

Napi::Value CompletionQueueObject::entries(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), shared(info.Env()).entries);
}

Napi::Value CompletionQueueObject::records(const Napi::CallbackInfo& info) {
  return MemoryObject::wrap(info.Env(), shared(info.Env()).records);
}

void CompletionQueueObject::poll(Napi::Env env) {
  // For every batch: no more checks than keep a mistake from doing harm.
  const Shared& held = shared(env);
  rdma::PollCall& call = held.call();
  const uint32_t room = std::min(call.room, held.entries);
  const uint32_t looks = call.looks;
  auto* records = reinterpret_cast<rdma::CompletionRecord*>(held.records->data());
  call.found = onQueue(env, [&](rdma::CompletionQueue& queue) {
    int found = queue.poll(records, room);
    for (uint32_t look = 1; look < looks && found == 0; look++) found = queue.poll(records, room);
    return found;
  });
  if (call.found > 0) call.time = monotonicNs();
}

void CompletionQueueObject::arm(const Napi::CallbackInfo& info) {
  const bool solicitedOnly = info[0].ToBoolean();
  throwIfFailed(info.Env(), onQueue(info.Env(), [&](rdma::CompletionQueue& queue) {
                  return queue.arm(solicitedOnly);
                }));
}

void CompletionQueueObject::onEvent(const Napi::CallbackInfo& info) {
  std::shared_ptr<FdWatch> added;
  if (info[0].IsFunction())
    added = CompletionWatch::start(info.Env(), info[0].As<Napi::Function>(), channel(info.Env()),
                                   shared_);
  if (events_) events_->stop();
  events_ = std::move(added);
}

Napi::Value CompletionQueueObject::waitEvent(const Napi::CallbackInfo& info) {
  pollfd request = {.fd = channel(info.Env()), .events = POLLIN, .revents = 0};
  const uint64_t timeout = std::min<uint64_t>(toUnsigned(info, 0), INT32_MAX);
  // A signal ends the wait early, which no caller can mistake for an event.
  if (::poll(&request, 1, static_cast<int>(timeout)) <= 0)
    return Napi::Boolean::New(info.Env(), false);
  // linux/drivers/infiniband/core/uverbs_main.c, ib_uverbs_event_poll(): the device was taken away.
  if (!(request.revents & POLLIN))
    throwError(info.Env(), Error{.code = "DEVICE_GONE",
                                 .message = "no more events come of the completion channel",
                                 .hint = "the RDMA device was removed, or has failed"});
  onQueue(info.Env(), [](rdma::CompletionQueue& queue) { queue.takeEvents(); });
  return Napi::Boolean::New(info.Env(), true);
}

void CompletionQueueObject::close(const Napi::CallbackInfo& info) {
  if (shared_ && isOwner_) throwIfFailed(info.Env(), shared_->queue.close());
  release();
}

void CompletionQueueObject::release() {
  if (events_) events_->stop();
  events_.reset();
  channel_.reset();
  shared_.reset();
}

}  // namespace p2pmem
