// Peer memory that the kernel's p2pdma gives to a process: a mapping of the file `p2pmem/allocate`
// of a PCI function (Documentation/ABI/testing/sysfs-bus-pci), which is an allocation while it
// lasts.
#pragma once

#include <memory>
#include <string>

#include "core/bus_error.h"
#include "core/memory.h"

namespace p2pmem {

class KernelP2pMemory final : public Memory {
 public:
  /// `size`: whole pages. Errors: KERNEL_P2PMEM, NO_ROOM, PERMISSION, NO_MEMORY.
  static Result<std::shared_ptr<KernelP2pMemory>> allocate(const std::string& address, size_t size);
  ~KernelP2pMemory() override;

  std::string device() const override { return address_; }
  uint64_t losses() const override { return range_->losses(); }

 private:
  KernelP2pMemory(void* data, size_t size, std::string address)
      : Memory(Kind::device, data, size), address_(std::move(address)) {}

  std::string address_;
  // The kernel takes the mapping away when the driver lets go of the device.
  std::unique_ptr<VanishingRange> range_;
};

}  // namespace p2pmem
