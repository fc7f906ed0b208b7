// The module: the functions of NativeAddon in lib/addon.ts.
#include <napi.h>
#include <sched.h>
#include <sys/resource.h>

#include "bindings/addon_data.h"
#include "bindings/address_space_object.h"
#include "bindings/affinity.h"
#include "bindings/arguments.h"
#include "bindings/completion_queue_object.h"
#include "bindings/device_object.h"
#include "bindings/errors.h"
#include "bindings/file_lock.h"
#include "bindings/io_ring_object.h"
#include "bindings/loopback_machine.h"
#include "bindings/memory_object.h"
#include "bindings/memory_region_object.h"
#include "bindings/protection_domain_object.h"
#include "bindings/queue_pair_object.h"
#include "bindings/rdma_device_object.h"
#include "bindings/region_object.h"
#include "bindings/registrar_object.h"
#include "core/cpu_copy.h"
#include "core/crc32c.h"
#include "kernel/p2pmem_memory.h"
#include "verbs/device.h"
#include "vfio/container.h"

namespace p2pmem {
namespace {

MemoryObject& memoryArgument(const Napi::CallbackInfo& info, size_t index) {
  return toWrapped<MemoryObject>(info, index, AddonData::of(info.Env()).memory);
}

void setErrorClass(const Napi::CallbackInfo& info) {
  AddonData::of(info.Env()).makeError = Napi::Persistent(info[0].As<Napi::Function>());
}

Napi::Value openVfioAddressSpace(const Napi::CallbackInfo& info) {
  auto container = VfioContainer::open();
  return AddressSpaceObject::wrap(info.Env(), valueOrThrow(info.Env(), container));
}

Napi::Value allocatePinned(const Napi::CallbackInfo& info) {
  auto memory = PinnedMemory::allocate(toUnsigned(info, 0), info[1].ToBoolean());
  return MemoryObject::wrap(info.Env(), valueOrThrow(info.Env(), memory));
}

Napi::Value allocateKernelP2pmem(const Napi::CallbackInfo& info) {
  auto memory = KernelP2pMemory::allocate(info[0].ToString(), toUnsigned(info, 1));
  return MemoryObject::wrap(info.Env(), valueOrThrow(info.Env(), memory));
}

Napi::Value createIoRing(const Napi::CallbackInfo& info) {
  auto ring = IoRing::create(static_cast<uint32_t>(toUnsigned(info, 0)));
  return IoRingObject::wrap(info.Env(), valueOrThrow(info.Env(), ring));
}

Napi::Value openMemory(const Napi::CallbackInfo& info) {
  auto memory = MemoryTable::instance().find(static_cast<uint32_t>(toUnsigned(info, 0)));
  if (!memory) throwGone(info.Env(), "that memory");
  return MemoryObject::wrap(info.Env(), std::move(memory));
}

Napi::Value verbsDevices(const Napi::CallbackInfo& info) {
  auto names = VerbsDevice::list();
  auto list = Napi::Array::New(info.Env());
  for (const std::string& name : valueOrThrow(info.Env(), names)) list[list.Length()] = name;
  return list;
}

Napi::Value openVerbsDevice(const Napi::CallbackInfo& info) {
  auto device = VerbsDevice::open(info[0].ToString());
  return RdmaDeviceObject::wrap(info.Env(), std::move(valueOrThrow(info.Env(), device)));
}

void copy(const Napi::CallbackInfo& info) {
  const uint64_t toOffset = toUnsigned(info, 1);
  const uint64_t fromOffset = toUnsigned(info, 3);
  const uint64_t length = toUnsigned(info, 4);
  throwIfFailed(
      info.Env(),
      cpuCopy(memoryArgument(info, 0).range(info.Env(), toOffset, length), toOffset,
              memoryArgument(info, 2).range(info.Env(), fromOffset, length), fromOffset, length));
}

Napi::Value compare(const Napi::CallbackInfo& info) {
  const uint64_t aOffset = toUnsigned(info, 1);
  const uint64_t bOffset = toUnsigned(info, 3);
  const uint64_t length = toUnsigned(info, 4);
  auto at = cpuCompare(memoryArgument(info, 0).range(info.Env(), aOffset, length), aOffset,
                       memoryArgument(info, 2).range(info.Env(), bOffset, length), bOffset, length);
  return Napi::Number::New(info.Env(), static_cast<double>(valueOrThrow(info.Env(), at)));
}

Napi::Value crc32c(const Napi::CallbackInfo& info) {
  if (!info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw Napi::TypeError::New(info.Env(), "argument 0 must be a Uint8Array");
  const auto bytes = info[0].As<Napi::Uint8Array>();
  const auto compute = info[1].ToBoolean() ? crc32cPortable : p2pmem::crc32c;
  return Napi::Number::New(info.Env(), compute(bytes.Data(), bytes.ByteLength()));
}

Napi::Value read32(const Napi::CallbackInfo& info) {
  const uint64_t offset = toUnsigned(info, 1);
  const Memory& memory = memoryArgument(info, 0).range(info.Env(), offset, 4);
  if (offset % 4 != 0)
    throwError(info.Env(), Error{.code = "BAD_RANGE", .message = "a 32-bit load must be aligned"});
  const PresenceCheck check(memory);
  const uint32_t value = *reinterpret_cast<const volatile uint32_t*>(memory.data() + offset);
  throwIfFailed(info.Env(), check.result());
  return Napi::Number::New(info.Env(), value);
}

void yieldProcessor(const Napi::CallbackInfo&) { sched_yield(); }

Napi::Value threadCpuTime(const Napi::CallbackInfo& info) {
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  const auto nanoseconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_usec) * 1e3;
  };
  auto object = Napi::Object::New(info.Env());
  object["user"] = nanoseconds(usage.ru_utime);
  object["system"] = nanoseconds(usage.ru_stime);
  return object;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new AddonData());  // Node deletes it when the environment ends
  MemoryObject::define(env);
  RegionObject::define(env);
  DeviceObject::define(env);
  AddressSpaceObject::define(env);
  LoopbackMachineObject::define(env);
  IoRingObject::define(env);
  RegistrarObject::define(env);
  RdmaDeviceObject::define(env);
  ProtectionDomainObject::define(env);
  MemoryRegionObject::define(env);
  CompletionQueueObject::define(env);
  QueuePairObject::define(env);
  exports["setErrorClass"] = Napi::Function::New<setErrorClass>(env);
  exports["openVfioAddressSpace"] = Napi::Function::New<openVfioAddressSpace>(env);
  exports["createLoopbackMachine"] = Napi::Function::New<LoopbackMachineObject::create>(env);
  exports["allocatePinned"] = Napi::Function::New<allocatePinned>(env);
  exports["allocateKernelP2pmem"] = Napi::Function::New<allocateKernelP2pmem>(env);
  exports["createIoRing"] = Napi::Function::New<createIoRing>(env);
  exports["openMemory"] = Napi::Function::New<openMemory>(env);
  exports["openRegistrar"] = Napi::Function::New<RegistrarObject::open>(env);
  exports["verbsDevices"] = Napi::Function::New<verbsDevices>(env);
  exports["openVerbsDevice"] = Napi::Function::New<openVerbsDevice>(env);
  exports["openRdmaDevice"] = Napi::Function::New<RdmaDeviceObject::open>(env);
  exports["openCompletionQueue"] = Napi::Function::New<CompletionQueueObject::open>(env);
  exports["openQueuePair"] = Napi::Function::New<QueuePairObject::open>(env);
  exports["copy"] = Napi::Function::New<copy>(env);
  exports["compare"] = Napi::Function::New<compare>(env);
  exports["crc32c"] = Napi::Function::New<crc32c>(env);
  exports["lockFile"] = Napi::Function::New<lockFile>(env);
  exports["read32"] = Napi::Function::New<read32>(env);
  exports["yieldProcessor"] = Napi::Function::New<yieldProcessor>(env);
  exports["threadAffinity"] = Napi::Function::New<threadAffinity>(env);
  exports["setThreadAffinity"] = Napi::Function::New<setThreadAffinity>(env);
  exports["threadCpuTime"] = Napi::Function::New<threadCpuTime>(env);
  return exports;
}

}  // namespace
}  // namespace p2pmem

static Napi::Object InitializeModule(Napi::Env env, Napi::Object exports) {
  return p2pmem::initialize(env, exports);
}
NODE_API_MODULE(p2pmem, InitializeModule)
