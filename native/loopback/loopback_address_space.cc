#include "loopback/loopback_address_space.h"

#include <cerrno>

#include "loopback/bar_memory.h"
#include "loopback/loopback_device.h"

namespace p2pmem::loopback {

namespace {
constexpr uint64_t kPageSizes = 1ull << 12 | 1ull << 21 | 1ull << 30;
}

LoopbackAddressSpace::LoopbackAddressSpace(std::shared_ptr<Machine> machine)
    : machine_(std::move(machine)), domain_(std::make_shared<IommuDomain>(machine_->iovaBits())) {}

LoopbackAddressSpace::~LoopbackAddressSpace() {
  // A device that is still open keeps the domain, but must not reach memory that now goes.
  const MachineLock::Guard guard(machine_->lock());
  domain_->clear();
  machine_->invalidate();
}

Result<std::shared_ptr<Device>> LoopbackAddressSpace::openDevice(const std::string& address) {
  const MachineLock::Guard guard(machine_->lock());
  PciFunction* function = machine_->fabric().find(address);
  if (!function || function->removed)
    return Error{.code = "UNKNOWN_DEVICE",
                 .message = "there is no PCI device " + address,
                 .device = address,
                 .hint = "p2pmem list shows the devices"};
  if (function->kind() != FunctionKind::endpoint)
    return Error{.code = "NOT_BOUND",
                 .message = address + " is part of the PCI fabric, no device to be driven",
                 .device = address,
                 .hint = "p2pmem list shows the devices"};
  auto& endpoint = *static_cast<Endpoint*>(function);
  auto owner = machine_->claim(endpoint, domain_);
  if (!owner.ok()) return owner.take();
  hadDevice_ = true;
  return std::shared_ptr<Device>(new LoopbackDevice(machine_, endpoint, owner.value()));
}

Result<AddressSpaceInfo> LoopbackAddressSpace::info() {
  const MachineLock::Guard guard(machine_->lock());
  if (!hadDevice_)
    return Error{.code = "NO_DEVICE",
                 .message = "an address space knows its limits only once a device is attached"};
  return AddressSpaceInfo{.ranges = domain_->ranges(),
                          .pageSizes = kPageSizes,
                          .mappingsAvailable = domain_->mappingsAvailable()};
}

std::optional<std::vector<DmaFault>> LoopbackAddressSpace::takeFaults() {
  const MachineLock::Guard guard(machine_->lock());
  return domain_->takeFaults();
}

Status LoopbackAddressSpace::doMap(Memory& memory, uint64_t offset, uint64_t length, uint64_t iova,
                                   Access access) {
  if (!access.read && !access.write)
    return Error{.code = "BAD_RANGE",
                 .message = "a mapping must allow the device to read or to write"};
  const MachineLock::Guard guard(machine_->lock());
  if (!hadDevice_)
    return Error{.code = "NO_DEVICE",
                 .message = "nothing can be mapped before a device is attached"};
  IommuMapping mapping{
      .iova = iova, .length = length, .data = memory.data() + offset, .access = access};
  if (memory.kind() == Memory::Kind::device) {
    const auto* bar = dynamic_cast<const BarMemory*>(&memory);
    if (!bar || &bar->machine() != machine_.get())
      return Error{.code = "BAD_RANGE",
                   .message = "that memory belongs to a device of another machine"};
    // As follow_fault_pfn() of the kernel's VFIO has it.
    if (bar->endpoint().answer(bar->bar()) == BarAnswer::nobody)
      return Error{.code = "DEVICE_GONE",
                   .message = "cannot map the memory of " + bar->device(),
                   .number = EFAULT,
                   .device = bar->device(),
                   .hint = "the device's memory decode is off, or it is gone"};
    mapping.data = bar->inside() + offset;
    mapping.bar = &bar->bar();
    mapping.target = &bar->endpoint();
    mapping.generation = bar->endpoint().generation;
  }
  return domain_->map(mapping);
}

Status LoopbackAddressSpace::doUnmap(uint64_t iova, uint64_t) {
  // With the lock held no DMA is under way, and none begins by this mapping after it.
  const MachineLock::Guard guard(machine_->lock());
  domain_->unmap(iova);
  machine_->invalidate();
  return {};
}

}  // namespace p2pmem::loopback
