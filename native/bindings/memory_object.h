// NativeMemory of lib/addon.ts: one environment's hold on a Memory.
#pragma once

#include <napi.h>

#include <memory>

#include "core/memory.h"

namespace p2pmem {

class MemoryObject final : public Napi::ObjectWrap<MemoryObject> {
 public:
  static void define(Napi::Env env);
  static Napi::Object wrap(Napi::Env env, std::shared_ptr<Memory> memory);

  explicit MemoryObject(const Napi::CallbackInfo& info);

  /// Throws CLOSED.
  const std::shared_ptr<Memory>& memory(Napi::Env env) const;
  /// Throws BAD_RANGE unless [offset, offset + length) lies inside.
  Memory& range(Napi::Env env, uint64_t offset, uint64_t length) const;

 private:
  Napi::Value id(const Napi::CallbackInfo& info);
  Napi::Value size(const Napi::CallbackInfo& info);
  Napi::Value kind(const Napi::CallbackInfo& info);
  Napi::Value pageSize(const Napi::CallbackInfo& info);
  Napi::Value isGone(const Napi::CallbackInfo& info);
  Napi::Value buffer(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<Memory> memory_;
  // Keeps the one buffer of this object reachable, so that close() can detach it.
  Napi::Reference<Napi::ArrayBuffer> buffer_;
  // The buffer's own hold on the memory; it belongs to the buffer's finalizer, which cannot run
  // before buffer_ lets go.
  std::shared_ptr<Memory>* bufferHold_ = nullptr;
};

}  // namespace p2pmem
