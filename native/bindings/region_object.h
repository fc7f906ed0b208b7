// NativeRegion of lib/addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "core/region.h"

namespace p2pmem {

class RegionObject final : public Napi::ObjectWrap<RegionObject> {
 public:
  static void define(Napi::Env env);
  static Napi::Object wrap(Napi::Env env, std::shared_ptr<Region> region);

  explicit RegionObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value index(const Napi::CallbackInfo& info);
  Napi::Value size(const Napi::CallbackInfo& info);
  Napi::Value mappable(const Napi::CallbackInfo& info);
  template <uint32_t Width>
  Napi::Value read(const Napi::CallbackInfo& info);
  template <uint32_t Width>
  void write(const Napi::CallbackInfo& info);
  Napi::Value map(const Napi::CallbackInfo& info);

  std::shared_ptr<Region> region_;
};

}  // namespace p2pmem
