// NativeQueuePair of lib/rdma-addon.ts: a queue pair, and the rings that its requests are built in.
#pragma once

#include <napi.h>

#include <memory>

#include "core/memory.h"
#include "core/rdma.h"

namespace p2pmem {

class QueuePairObject final : public Napi::ObjectWrap<QueuePairObject> {
 public:
  static void define(Napi::Env env);
  /// With rings for so many entries. Throws NO_MEMORY.
  static Napi::Object create(Napi::Env env, std::shared_ptr<rdma::QueuePair> pair,
                             const rdma::QueuePairOptions& options);

  explicit QueuePairObject(const Napi::CallbackInfo& info);

 private:
  struct Ring {
    std::shared_ptr<Memory> memory;
    uint32_t stride = 0;
    uint32_t mask = 0;  // records, less one; their number is a power of two
  };
  struct Parts {
    std::shared_ptr<rdma::QueuePair> pair;
    Ring sends;
    Ring receives;
  };

  static Ring makeRing(Napi::Env env, uint32_t entries, uint32_t stride);
  /// Throws CLOSED.
  rdma::QueuePair& pair(Napi::Env env) const;

  Napi::Value number(const Napi::CallbackInfo& info);
  Napi::Value maxInline(const Napi::CallbackInfo& info);
  template <Ring Parts::*Which>
  Napi::Value ring(const Napi::CallbackInfo& info);
  template <Ring Parts::*Which>
  Napi::Value stride(const Napi::CallbackInfo& info);
  void initialize(const Napi::CallbackInfo& info);
  void connect(const Napi::CallbackInfo& info);
  void toError(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value postSends(const Napi::CallbackInfo& info);
  Napi::Value postReceives(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  Parts parts_;
};

}  // namespace p2pmem
