// NativeCompletionQueue of lib/rdma-addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "bindings/fd_watch.h"
#include "core/memory.h"
#include "core/rdma.h"

namespace p2pmem {

class CompletionQueueObject final : public Napi::ObjectWrap<CompletionQueueObject> {
 public:
  static void define(Napi::Env env);
  /// Throws NO_MEMORY.
  static Napi::Object wrap(Napi::Env env, std::shared_ptr<rdma::CompletionQueue> queue);

  explicit CompletionQueueObject(const Napi::CallbackInfo& info);
  ~CompletionQueueObject() override;

  /// Throws CLOSED.
  const std::shared_ptr<rdma::CompletionQueue>& queue(Napi::Env env) const;

 private:
  /// Throws CLOSED; UNSUPPORTED without a channel.
  int channel(Napi::Env env) const;

  Napi::Value entries(const Napi::CallbackInfo& info);
  Napi::Value records(const Napi::CallbackInfo& info);
  Napi::Value poll(const Napi::CallbackInfo& info);
  void arm(const Napi::CallbackInfo& info);
  void onEvent(const Napi::CallbackInfo& info);
  Napi::Value waitEvent(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<rdma::CompletionQueue> queue_;
  std::shared_ptr<Memory> records_;
  std::shared_ptr<FdWatch> events_;
};

}  // namespace p2pmem
