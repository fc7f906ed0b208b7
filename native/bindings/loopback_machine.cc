#include "bindings/loopback_machine.h"

#include <cstring>
#include <utility>
#include <vector>

#include "bindings/addon_data.h"
#include "bindings/address_space_object.h"
#include "bindings/arguments.h"
#include "bindings/errors.h"
#include "bindings/loopback_configuration.h"
#include "bindings/memory_object.h"
#include "bindings/nvme_configuration.h"
#include "bindings/rdma_device_object.h"

namespace p2pmem {

using namespace loopback;

namespace {

// Resource flags as linux/ioport.h has them, as sysfs shows them for such BARs and windows.
constexpr uint64_t kResourceMemory = 0x200;
constexpr uint64_t kResourcePrefetch = 0x2000;
constexpr uint64_t kResourceSizeAlign = 0x40000;
constexpr uint64_t kResourceMemory64 = 0x100000;

// Lines of sysfs's `resource` file: 6 BARs, the ROM, 6 for SR-IOV; bridges have four windows more:
// I/O, memory, prefetchable memory, and one that only CardBus uses (linux/pci.h).
constexpr uint32_t kEndpointResources = 13;
constexpr uint32_t kMemoryWindow = 14;
constexpr uint32_t kPrefetchableWindow = 15;
constexpr uint32_t kBridgeResources = 17;

Napi::Object resource(Napi::Env env, uint64_t start, uint64_t size, uint64_t flags) {
  auto object = Napi::Object::New(env);
  object["start"] = Napi::BigInt::New(env, start);
  object["size"] = Napi::BigInt::New(env, size);
  object["flags"] = Napi::BigInt::New(env, flags);
  return object;
}

Napi::Array describeResources(Napi::Env env, const PciFunction& function) {
  auto list = Napi::Array::New(env);
  const uint32_t count = function.isBridge() ? kBridgeResources : kEndpointResources;
  for (uint32_t i = 0; i < count; i++) list[i] = resource(env, 0, 0, 0);
  for (uint32_t i = 0; i < function.bars.size(); i++) {
    const Bar& bar = function.bars[i];
    if (bar.size == 0) continue;
    const uint64_t flags = kResourceMemory | kResourceSizeAlign | kResourceMemory64 |
                           pci::kBarMemory64 |
                           (bar.prefetchable ? kResourcePrefetch | pci::kBarPrefetchable : 0);
    list[i] = resource(env, bar.address, bar.size, flags);
  }
  if (const BridgeWindow& window = function.memoryWindow; window.size > 0)
    list[kMemoryWindow] = resource(env, window.base, window.size, kResourceMemory);
  if (const BridgeWindow& window = function.prefetchableWindow; window.size > 0)
    list[kPrefetchableWindow] =
        resource(env, window.base, window.size,
                 kResourceMemory | kResourcePrefetch | kResourceMemory64 | pci::kPrefetchable64);
  return list;
}

Napi::Object describe(Napi::Env env, const PciFunction& function, const ConfigSpace& space) {
  auto config = Napi::Uint8Array::New(env, ConfigSpace::kSize);
  memcpy(config.Data(), space.bytes(), ConfigSpace::kSize);
  auto object = Napi::Object::New(env);
  object["address"] = function.address;
  object["parent"] =
      function.parent ? Napi::Value(Napi::String::New(env, function.parent->address)) : env.Null();
  object["config"] = config;
  object["resources"] = describeResources(env, function);
  object["driver"] =
      function.driver.empty() ? env.Null() : Napi::Value(Napi::String::New(env, function.driver));
  object["iommuGroup"] = Napi::Number::New(env, function.iommuGroup);
  object["numaNode"] = env.Null();
  return object;
}

struct MemoryRange {
  const Memory& memory;
  uint64_t offset;
  uint64_t length;
};

// Arguments 0 to 2: a memory, and a range of it.
MemoryRange rangeArgument(const Napi::CallbackInfo& info) {
  const auto& object = toWrapped<MemoryObject>(info, 0, AddonData::of(info.Env()).memory);
  const uint64_t offset = toUnsigned(info, 1);
  const uint64_t length = toUnsigned(info, 2);
  return {object.range(info.Env(), offset, length), offset, length};
}

}  // namespace

void LoopbackMachineObject::define(Napi::Env env) {
  AddonData::of(env).loopbackMachine = Napi::Persistent(
      DefineClass(env, "NativeLoopbackMachine",
                  {InstanceMethod<&LoopbackMachineObject::functions>("functions"),
                   InstanceMethod<&LoopbackMachineObject::openAddressSpace>("openAddressSpace"),
                   InstanceMethod<&LoopbackMachineObject::traffic>("traffic"),
                   InstanceMethod<&LoopbackMachineObject::resetTraffic>("resetTraffic"),
                   InstanceMethod<&LoopbackMachineObject::inject>("inject"),
                   InstanceMethod<&LoopbackMachineObject::clearFaults>("clearFaults"),
                   InstanceMethod<&LoopbackMachineObject::replug>("replug"),
                   InstanceMethod<&LoopbackMachineObject::rdmaDevices>("rdmaDevices"),
                   InstanceMethod<&LoopbackMachineObject::openRdmaDevice>("openRdmaDevice"),
                   InstanceMethod<&LoopbackMachineObject::rdmaCounters>("rdmaCounters"),
                   InstanceMethod<&LoopbackMachineObject::invalidateStart>("invalidateStart"),
                   InstanceMethod<&LoopbackMachineObject::invalidateEnd>("invalidateEnd"),
                   InstanceMethod<&LoopbackMachineObject::close>("close")}));
}

Napi::Value LoopbackMachineObject::create(const Napi::CallbackInfo& info) {
  if (!info[0].IsObject())
    throw Napi::TypeError::New(info.Env(), "argument 0 must be a machine configuration");
  auto machine = Machine::create(readMachineConfiguration(info[0].As<Napi::Object>()));
  return wrapShared(info.Env(), AddonData::of(info.Env()).loopbackMachine,
                    std::move(valueOrThrow(info.Env(), machine)));
}

LoopbackMachineObject::LoopbackMachineObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), machine_(unwrapShared<Machine>(info)) {}

Machine& LoopbackMachineObject::machine(Napi::Env env) const {
  if (!machine_) throwClosed(env, "the loopback machine");
  return *machine_;
}

Napi::Value LoopbackMachineObject::functions(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Machine& self = machine(env);
  const auto& functions = self.fabric().functions();
  // All that changes while the machine runs. Copied, since JavaScript objects are not to be made
  // with the lock held: a collection may finalize a device, which takes it.
  std::vector<std::pair<const PciFunction*, ConfigSpace>> present;
  present.reserve(functions.size());
  {
    const MachineLock::Guard guard(self.lock());
    for (const auto& function : functions)
      if (!function->removed) present.emplace_back(function.get(), function->config);
  }
  auto list = Napi::Array::New(env);
  for (const auto& [function, config] : present)
    list[list.Length()] = describe(env, *function, config);
  return list;
}

Napi::Value LoopbackMachineObject::openAddressSpace(const Napi::CallbackInfo& info) {
  return AddressSpaceObject::wrap(info.Env(), machine(info.Env()).openAddressSpace());
}

Napi::Value LoopbackMachineObject::traffic(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Traffic traffic = machine(env).traffic();
  const auto bytes = [&](uint64_t value) {
    return Napi::Number::New(env, static_cast<double>(value));
  };
  auto links = Napi::Array::New(env);
  for (const LinkTraffic& link : traffic.links) {
    auto entry = Napi::Object::New(env);
    entry["address"] = link.address;
    entry["upBytes"] = bytes(link.up);
    entry["downBytes"] = bytes(link.down);
    entry["upControlBytes"] = bytes(link.upControl);
    entry["downControlBytes"] = bytes(link.downControl);
    links[links.Length()] = entry;
  }
  auto object = Napi::Object::New(env);
  object["hostMemoryBytes"] = bytes(traffic.hostMemory);
  object["hostControlBytes"] = bytes(traffic.hostControl);
  object["rootComplexBytes"] = bytes(traffic.rootComplex);
  object["links"] = links;
  object["deviceCpuNs"] = Napi::Number::New(env, static_cast<double>(machine(env).deviceCpuNs()));
  return object;
}

void LoopbackMachineObject::resetTraffic(const Napi::CallbackInfo& info) {
  machine(info.Env()).resetTraffic();
}

void LoopbackMachineObject::inject(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[1].IsObject()) throw Napi::TypeError::New(env, "argument 1 must be a fault");
  const Fault fault = readFault(info[1].As<Napi::Object>());
  throwIfFailed(env, machine(env).inject(info[0].ToString(), fault));
}

void LoopbackMachineObject::clearFaults(const Napi::CallbackInfo& info) {
  throwIfFailed(info.Env(), machine(info.Env()).clearFaults(info[0].ToString()));
}

void LoopbackMachineObject::replug(const Napi::CallbackInfo& info) {
  throwIfFailed(info.Env(), machine(info.Env()).replug(info[0].ToString()));
}

Napi::Value LoopbackMachineObject::rdmaDevices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto list = Napi::Array::New(env);
  for (const auto& [name, address] : machine(env).rdmaDevices()) {
    auto entry = Napi::Object::New(env);
    entry["name"] = name;
    entry["address"] = address;
    list[list.Length()] = entry;
  }
  return list;
}

Napi::Value LoopbackMachineObject::openRdmaDevice(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto device = machine(env).openRdmaDevice(info[0].ToString());
  return RdmaDeviceObject::wrap(env, std::move(valueOrThrow(env, device)));
}

Napi::Value LoopbackMachineObject::rdmaCounters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto read = machine(env).rdmaCounters(info[0].ToString());
  const RnicCounters& counters = valueOrThrow(env, read);
  auto object = Napi::Object::New(env);
  const auto set = [&](const char* name, uint64_t value) {
    object[name] = Napi::Number::New(env, static_cast<double>(value));
  };
  set("lostPackets", counters.lostPackets);
  set("damagedPackets", counters.damagedPackets);
  set("retransmissions", counters.retransmissions);
  set("timeouts", counters.timeouts);
  set("sequenceErrors", counters.sequenceErrors);
  set("rnrNaks", counters.rnrNaks);
  set("pageFaults", counters.pageFaults);
  set("invalidatedPages", counters.invalidatedPages);
  return object;
}

void LoopbackMachineObject::invalidateStart(const Napi::CallbackInfo& info) {
  const auto& [memory, offset, length] = rangeArgument(info);
  machine(info.Env()).invalidateStart(memory, offset, length);
}

void LoopbackMachineObject::invalidateEnd(const Napi::CallbackInfo& info) {
  const auto& [memory, offset, length] = rangeArgument(info);
  throwIfFailed(info.Env(), machine(info.Env()).invalidateEnd(memory, offset, length));
}

void LoopbackMachineObject::close(const Napi::CallbackInfo&) {
  if (!machine_) return;
  machine_->stop();
  machine_.reset();
}

}  // namespace p2pmem
