#include "loopback/fabric.h"

#include <algorithm>
#include <cstdio>

namespace p2pmem::loopback {

namespace {

// Where firmware puts memory windows: 32-bit ones below the IOAPIC and the local APICs, 64-bit
// prefetchable ones at 256 GiB, which a 39-bit IOMMU can still map identically.
constexpr uint64_t kMemoryFirst = 0xc0000000;
constexpr uint64_t kMemoryEnd = 0xfec00000;
constexpr uint64_t kPrefetchableFirst = 0x4000000000;
constexpr uint64_t kPrefetchableEnd = 0x7f00000000;
// Granularity of a bridge's memory windows (PCI-to-PCI Bridge 1.2 §3.2.5.8).
constexpr uint64_t kWindowUnit = 1 << 20;

uint64_t roundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

// What a function (with all that is below it) takes of one kind of address space.
struct Room {
  uint64_t size = 0;
  uint64_t alignment = 1;
};

BridgeWindow& windowOf(PciFunction& bridge, bool prefetchable) {
  return prefetchable ? bridge.prefetchableWindow : bridge.memoryWindow;
}

// Lays out bars and bridge windows from `base` on, each naturally aligned; tells how much it took.
// With a base of 0 it measures, since every alignment divides that.
Room layOut(PciFunction& function, bool prefetchable, uint64_t base);

Room layOutBelow(const std::vector<PciFunction*>& functions, bool prefetchable, uint64_t base) {
  Room room;
  for (PciFunction* function : functions) {
    const Room part = layOut(*function, prefetchable, 0);
    if (part.size == 0) continue;
    const uint64_t at = roundUp(base + room.size, part.alignment);
    layOut(*function, prefetchable, at);
    room.size = at + part.size - base;
    room.alignment = std::max(room.alignment, part.alignment);
  }
  return room;
}

Room layOut(PciFunction& function, bool prefetchable, uint64_t base) {
  if (function.isBridge()) {
    Room room = layOutBelow(function.children, prefetchable, base);
    if (room.size > 0) {
      room.size = roundUp(room.size, kWindowUnit);
      room.alignment = std::max(room.alignment, kWindowUnit);
    }
    windowOf(function, prefetchable) = {base, room.size};
    return room;
  }
  Room room;
  for (Bar& bar : function.bars) {
    if (bar.size == 0 || bar.prefetchable != prefetchable) continue;
    bar.address = roundUp(base + room.size, bar.size);
    room.size = bar.address + bar.size - base;
    room.alignment = std::max(room.alignment, bar.size);
  }
  return room;
}

// pci_acs_path_enabled() of the kernel, for one port: only ports with something beside them or
// below them need ACS; a switch's upstream port has neither.
bool isolates(const PciFunction& bridge) {
  if (bridge.kind() == FunctionKind::upstreamPort) {
    // Peers below a switch reach each other unless every one of its downstream ports redirects.
    return std::all_of(bridge.children.begin(), bridge.children.end(), [](const PciFunction* port) {
      return (port->acs() & pci::kAcsIsolation) == pci::kAcsIsolation;
    });
  }
  return (bridge.acs() & pci::kAcsIsolation) == pci::kAcsIsolation;
}

}  // namespace

void Fabric::add(std::unique_ptr<PciFunction> function, PciFunction* parent) {
  function->parent = parent;
  function->index = functions_.size();
  (parent ? parent->children : rootBus_).push_back(function.get());
  functions_.push_back(std::move(function));
}

Status Fabric::numberBus(const std::vector<PciFunction*>& functions, uint8_t bus) {
  uint32_t device = 0;
  for (PciFunction* function : functions) {
    if (device > 31)
      return Error{.code = "BAD_MACHINE", .message = "a bus has room for 32 devices only"};
    char text[16];
    snprintf(text, sizeof text, "0000:%02x:%02x.0", bus, device++);
    function->address = text;
    function->bus = bus;
    if (!function->isBridge()) continue;
    if (++lastBus_ > 255)
      return Error{.code = "BAD_MACHINE", .message = "a machine has room for 256 buses only"};
    function->secondaryBus = static_cast<uint8_t>(lastBus_);
    if (Status status = numberBus(function->children, function->secondaryBus); !status.ok())
      return status;
    function->subordinateBus = static_cast<uint8_t>(lastBus_);
  }
  return {};
}

void Fabric::assignGroup(PciFunction& function) {
  // Up to the point from where on ACS keeps peers apart; whoever is there shares the group
  // (linux/drivers/iommu/iommu.c, pci_device_group).
  PciFunction* top = &function;
  bool isolated = true;
  std::vector<PciFunction*> path;
  for (PciFunction* bridge = function.parent; bridge; bridge = bridge->parent)
    path.push_back(bridge);
  for (PciFunction* bridge : path)
    if (!isolates(*bridge)) {
      top = bridge;
      isolated = false;
    }
  function.iommuGroup = isolated ? groups_++ : top->iommuGroup;
}

Status Fabric::enumerate() {
  if (Status status = numberBus(rootBus_, 0); !status.ok()) return status;
  const Room memory = layOutBelow(rootBus_, false, kMemoryFirst);
  const Room prefetchable = layOutBelow(rootBus_, true, kPrefetchableFirst);
  if (memory.size > kMemoryEnd - kMemoryFirst ||
      prefetchable.size > kPrefetchableEnd - kPrefetchableFirst)
    return Error{.code = "BAD_MACHINE", .message = "the devices' BARs do not fit"};
  for (const auto& function : functions_) {
    assignGroup(*function);
    function->publishAddresses();
  }
  return {};
}

PciFunction* Fabric::find(const std::string& address) const {
  for (const auto& function : functions_)
    if (function->address == address) return function.get();
  return nullptr;
}

}  // namespace p2pmem::loopback
