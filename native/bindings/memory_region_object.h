// NativeMemoryRegion of lib/rdma-addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "core/rdma.h"

namespace p2pmem {

class MemoryRegionObject final : public Napi::ObjectWrap<MemoryRegionObject> {
 public:
  static void define(Napi::Env env);
  static Napi::Object wrap(Napi::Env env, std::shared_ptr<rdma::MemoryRegion> region);

  explicit MemoryRegionObject(const Napi::CallbackInfo& info);

 private:
  /// Throws CLOSED.
  rdma::MemoryRegion& region(Napi::Env env) const;

  Napi::Value lkey(const Napi::CallbackInfo& info);
  Napi::Value rkey(const Napi::CallbackInfo& info);
  Napi::Value address(const Napi::CallbackInfo& info);
  Napi::Value length(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<rdma::MemoryRegion> region_;
};

}  // namespace p2pmem
