// NativeCompletionQueue of lib/rdma-addon.ts: one environment's hold on a completion queue.
#pragma once

#include <napi.h>

#include <memory>

#include "bindings/fd_watch.h"
#include "bindings/shared_queues.h"
#include "core/unique_fd.h"

namespace p2pmem {

class CompletionQueueObject final : public Napi::ObjectWrap<CompletionQueueObject> {
 public:
  static void define(Napi::Env env);
  /// Of this environment. Throws NO_MEMORY.
  static Napi::Object create(Napi::Env env, std::shared_ptr<rdma::CompletionQueue> queue);
  /// openCompletionQueue() of lib/addon.ts.
  static Napi::Value open(const Napi::CallbackInfo& info);

  explicit CompletionQueueObject(const Napi::CallbackInfo& info);
  ~CompletionQueueObject() override;

  /// Throws CLOSED.
  Closable<rdma::CompletionQueue>& queue(Napi::Env env) const { return shared(env).queue; }

 private:
  using Shared = SharedCompletionQueue;

  /// Throws CLOSED.
  Shared& shared(Napi::Env env) const;
  /// What `call` makes of the queue. Throws CLOSED, GONE.
  template <class Call>
  auto onQueue(Napi::Env env, Call call) const {
    return callOpen(env, queue(env), "the completion queue", call);
  }
  /// A descriptor of the channel that the queue's owner does not close. Throws CLOSED, GONE;
  /// UNSUPPORTED without a channel.
  int channel(Napi::Env env);

  Napi::Value id(const Napi::CallbackInfo& info);
  Napi::Value entries(const Napi::CallbackInfo& info);
  Napi::Value records(const Napi::CallbackInfo& info);
  void poll(Napi::Env env);
  void arm(const Napi::CallbackInfo& info);
  void onEvent(const Napi::CallbackInfo& info);
  Napi::Value waitEvent(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  void release();

  std::shared_ptr<Shared> shared_;
  bool isOwner_ = false;  // made here, not opened by its number
  UniqueFd channel_;      // once it was asked for
  std::shared_ptr<FdWatch> events_;
};

}  // namespace p2pmem
