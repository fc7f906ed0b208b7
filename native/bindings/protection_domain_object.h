// NativeProtectionDomain of lib/rdma-addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "core/rdma.h"

namespace p2pmem {

class ProtectionDomainObject final : public Napi::ObjectWrap<ProtectionDomainObject> {
 public:
  static void define(Napi::Env env);
  static Napi::Object wrap(Napi::Env env, std::shared_ptr<rdma::ProtectionDomain> domain);

  explicit ProtectionDomainObject(const Napi::CallbackInfo& info);

 private:
  /// Throws CLOSED.
  rdma::ProtectionDomain& domain(Napi::Env env) const;

  Napi::Value registerHost(const Napi::CallbackInfo& info);
  Napi::Value registerDmabuf(const Napi::CallbackInfo& info);
  Napi::Value createQueuePair(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<rdma::ProtectionDomain> domain_;
};

}  // namespace p2pmem
