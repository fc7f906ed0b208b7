// NativeQueuePair of lib/rdma-addon.ts: one environment's hold on a queue pair and the rings that
// its requests are built in.
#pragma once

#include <napi.h>

#include <memory>

#include "bindings/shared_queues.h"

namespace p2pmem {

class QueuePairObject final : public Napi::ObjectWrap<QueuePairObject> {
 public:
  static void define(Napi::Env env);
  /// Of this environment, with rings for so many entries. Throws NO_MEMORY.
  static Napi::Object create(Napi::Env env, std::shared_ptr<rdma::QueuePair> pair,
                             const rdma::QueuePairOptions& options);
  /// openQueuePair() of lib/addon.ts.
  static Napi::Value open(const Napi::CallbackInfo& info);

  explicit QueuePairObject(const Napi::CallbackInfo& info);

 private:
  using Shared = SharedQueuePair;

  static Shared::Ring makeRing(Napi::Env env, uint32_t entries, uint32_t stride);
  /// Throws CLOSED.
  Shared& shared(Napi::Env env) const;
  /// What `call` makes of the queue pair. Throws CLOSED, GONE.
  template <class Call>
  auto onPair(Napi::Env env, Call call) const {
    return callOpen(env, shared(env).pair, "the queue pair", call);
  }

  Napi::Value id(const Napi::CallbackInfo& info);
  Napi::Value number(const Napi::CallbackInfo& info);
  Napi::Value maxInline(const Napi::CallbackInfo& info);
  template <Shared::Ring Shared::*Which>
  Napi::Value ring(const Napi::CallbackInfo& info);
  template <Shared::Ring Shared::*Which>
  Napi::Value stride(const Napi::CallbackInfo& info);
  void initialize(const Napi::CallbackInfo& info);
  void connect(const Napi::CallbackInfo& info);
  void toError(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  /// What the ring's PostCall says, by a member of rdma::QueuePair.
  template <Shared::Ring Shared::*Which, auto Post>
  void post(Napi::Env env);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<Shared> shared_;
  bool isOwner_ = false;  // made here, not opened by its number
};

}  // namespace p2pmem
