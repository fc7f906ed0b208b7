#include "bindings/memory_object.h"

#include "bindings/addon_data.h"
#include "bindings/arguments.h"
#include "bindings/errors.h"

namespace p2pmem {

void MemoryObject::define(Napi::Env env) {
  AddonData::of(env).memory = Napi::Persistent(DefineClass(
      env, "NativeMemory",
      {InstanceAccessor<&MemoryObject::id>("id"), InstanceAccessor<&MemoryObject::size>("size"),
       InstanceAccessor<&MemoryObject::kind>("kind"),
       InstanceAccessor<&MemoryObject::pageSize>("pageSize"),
       InstanceAccessor<&MemoryObject::isGone>("isGone"),
       InstanceAccessor<&MemoryObject::buffer>("buffer"),
       InstanceMethod<&MemoryObject::close>("close")}));
}

Napi::Object MemoryObject::wrap(Napi::Env env, std::shared_ptr<Memory> memory) {
  return wrapShared(env, AddonData::of(env).memory, std::move(memory));
}

MemoryObject::MemoryObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), memory_(unwrapShared<Memory>(info)) {}

const std::shared_ptr<Memory>& MemoryObject::memory(Napi::Env env) const {
  if (!memory_) throwClosed(env, "the memory");
  return memory_;
}

Memory& MemoryObject::range(Napi::Env env, uint64_t offset, uint64_t length) const {
  const auto& held = memory(env);
  if (offset > held->size() || length > held->size() - offset)
    throwError(env, Error{.code = "BAD_RANGE",
                          .message = "offset " + std::to_string(offset) + ", length " +
                                     std::to_string(length) + " is not inside memory of " +
                                     std::to_string(held->size()) + " bytes"});
  return *held;
}

Napi::Value MemoryObject::id(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), MemoryTable::instance().idOf(memory(info.Env())));
}

Napi::Value MemoryObject::size(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(memory(info.Env())->size()));
}

Napi::Value MemoryObject::kind(const Napi::CallbackInfo& info) {
  const bool host = memory(info.Env())->kind() == Memory::Kind::host;
  return Napi::String::New(info.Env(), host ? "host" : "device");
}

Napi::Value MemoryObject::pageSize(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(memory(info.Env())->pageSize()));
}

Napi::Value MemoryObject::isGone(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), memory(info.Env())->isGone());
}

Napi::Value MemoryObject::buffer(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto& held = memory(env);
  if (buffer_.IsEmpty()) {
    // The buffer holds the memory as well: if this object is collected without close(), what the
    // buffer shows stays mapped for as long as anyone can look at it.
    auto keep = std::make_unique<std::shared_ptr<Memory>>(held);
    const auto buffer = Napi::ArrayBuffer::New(
        env, held->data(), held->size(),
        [](Napi::Env, void*, std::shared_ptr<Memory>* kept) { delete kept; }, keep.get());
    bufferHold_ = keep.release();
    buffer_ = Napi::Persistent(buffer);
  }
  return buffer_.Value();
}

void MemoryObject::close(const Napi::CallbackInfo&) {
  // Until the end of this function, hence until after the detach.
  const std::shared_ptr<Memory> held = std::move(memory_);
  if (buffer_.IsEmpty()) return;
  // Detached by somebody else (ArrayBuffer.transfer()): its store has moved to another buffer,
  // whose finalizer will let go of the memory.
  if (buffer_.Value().IsDetached()) {
    buffer_.Reset();
    return;
  }
  // Node finalizes the detached buffer only in a later turn of the event loop: were it to keep the
  // memory until then, a device whose BAR this is would stay open after everything was closed.
  bufferHold_->reset();
  buffer_.Value().Detach();
  buffer_.Reset();
}

}  // namespace p2pmem
