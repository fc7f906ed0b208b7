#include "bindings/completion_queue_object.h"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "bindings/addon_data.h"
#include "bindings/arguments.h"
#include "bindings/errors.h"
#include "bindings/memory_object.h"

namespace p2pmem {

namespace {

// The queue's events, on this environment's event loop.
class CompletionWatch final : public FdWatch {
 public:
  static std::shared_ptr<FdWatch> start(Napi::Env env, Napi::Function handler,
                                        std::shared_ptr<rdma::CompletionQueue> queue) {
    UniqueFd fd = duplicateFd(env, queue->eventFd());
    return started(std::shared_ptr<FdWatch>(
        new CompletionWatch(env, handler, std::move(fd), std::move(queue))));
  }

 private:
  CompletionWatch(Napi::Env env, Napi::Function handler, UniqueFd fd,
                  std::shared_ptr<rdma::CompletionQueue> queue)
      : FdWatch(env, handler, std::move(fd)), queue_(std::move(queue)) {}

  void onReadable(Napi::Env env) override {
    queue_->takeEvents();
    handler().MakeCallback(env.Global(), 0, nullptr);
  }

  std::shared_ptr<rdma::CompletionQueue> queue_;
};

}  // namespace

void CompletionQueueObject::define(Napi::Env env) {
  AddonData::of(env).completionQueue =
      Napi::Persistent(DefineClass(env, "NativeCompletionQueue",
                                   {InstanceAccessor<&CompletionQueueObject::entries>("entries"),
                                    InstanceMethod<&CompletionQueueObject::records>("records"),
                                    InstanceMethod<&CompletionQueueObject::poll>("poll"),
                                    InstanceMethod<&CompletionQueueObject::arm>("arm"),
                                    InstanceMethod<&CompletionQueueObject::onEvent>("onEvent"),
                                    InstanceMethod<&CompletionQueueObject::waitEvent>("waitEvent"),
                                    InstanceMethod<&CompletionQueueObject::close>("close")}));
}

Napi::Object CompletionQueueObject::wrap(Napi::Env env,
                                         std::shared_ptr<rdma::CompletionQueue> queue) {
  return wrapShared(env, AddonData::of(env).completionQueue, std::move(queue));
}

CompletionQueueObject::CompletionQueueObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), queue_(unwrapShared<rdma::CompletionQueue>(info)) {
  auto records = PinnedMemory::allocate(queue_->entries() * sizeof(rdma::CompletionRecord), false);
  records_ = std::move(valueOrThrow(info.Env(), records));
}

CompletionQueueObject::~CompletionQueueObject() {
  if (events_) events_->stop();
}

const std::shared_ptr<rdma::CompletionQueue>& CompletionQueueObject::queue(Napi::Env env) const {
  if (!queue_) throwClosed(env, "the completion queue");
  return queue_;
}

int CompletionQueueObject::channel(Napi::Env env) const {
  const int fd = queue(env)->eventFd();
  if (fd < 0)
    throwError(env, Error{.code = "UNSUPPORTED",
                          .message = "the completion queue was made without a channel"});
  return fd;
}

Napi::Value CompletionQueueObject::entries(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), queue(info.Env())->entries());
}

Napi::Value CompletionQueueObject::records(const Napi::CallbackInfo& info) {
  (void)queue(info.Env());
  return MemoryObject::wrap(info.Env(), records_);
}

Napi::Value CompletionQueueObject::poll(const Napi::CallbackInfo& info) {
  // For every batch: no more checks than keep a mistake from doing harm.
  const auto& held = queue(info.Env());
  const uint32_t room = std::min(info[0].As<Napi::Number>().Uint32Value(), held->entries());
  auto* records = reinterpret_cast<rdma::CompletionRecord*>(records_->data());
  return Napi::Number::New(info.Env(), held->poll(records, room));
}

void CompletionQueueObject::arm(const Napi::CallbackInfo& info) {
  throwIfFailed(info.Env(), queue(info.Env())->arm(info[0].ToBoolean()));
}

void CompletionQueueObject::onEvent(const Napi::CallbackInfo& info) {
  (void)channel(info.Env());
  std::shared_ptr<FdWatch> added;
  if (info[0].IsFunction())
    added = CompletionWatch::start(info.Env(), info[0].As<Napi::Function>(), queue_);
  if (events_) events_->stop();
  events_ = std::move(added);
}

Napi::Value CompletionQueueObject::waitEvent(const Napi::CallbackInfo& info) {
  pollfd request = {.fd = channel(info.Env()), .events = POLLIN, .revents = 0};
  const uint64_t timeout = std::min<uint64_t>(toUnsigned(info, 0), INT32_MAX);
  // A signal ends the wait early, which no caller can mistake for an event.
  const bool isThere = ::poll(&request, 1, static_cast<int>(timeout)) > 0;
  if (isThere) queue_->takeEvents();
  return Napi::Boolean::New(info.Env(), isThere);
}

void CompletionQueueObject::close(const Napi::CallbackInfo& info) {
  if (!queue_) return;
  throwIfFailed(info.Env(), queue_->close());
  if (events_) events_->stop();
  events_.reset();
  queue_.reset();
  records_.reset();
}

}  // namespace p2pmem
