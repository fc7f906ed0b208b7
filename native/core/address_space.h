// What a set of devices can reach by DMA: one IOMMU domain. All devices of a job are attached to
// the same one, since a peer whose BAR is not mapped there is silently unreachable.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/memory.h"
#include "core/region.h"
#include "core/status.h"
#include "core/weak_table.h"

namespace p2pmem {

struct Access {
  bool read = true;  // the device may read the memory
  bool write = true;
};

struct IovaRange {
  uint64_t first = 0;
  uint64_t last = 0;  // inclusive, as the kernel reports it
};

struct AddressSpaceInfo {
  std::vector<IovaRange> ranges;              // usable for mappings
  uint64_t pageSizes = 0;                     // bit n set: pages of 1 << n bytes
  std::optional<uint32_t> mappingsAvailable;  // how many more mappings the kernel allows
};

/// A DMA that the IOMMU refused.
struct DmaFault {
  std::string device;  // the requester's PCI address
  uint64_t iova = 0;
  bool write = false;  // the device wanted to write
  std::string reason;
};

class AddressSpace {
 public:
  virtual ~AddressSpace() = default;
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;

  /// Takes ownership of a device and attaches it. Errors: UNKNOWN_DEVICE, NOT_BOUND, NO_VFIO,
  /// PERMISSION, GROUP_NOT_VIABLE, IN_USE.
  virtual Result<std::shared_ptr<Device>> openDevice(const std::string& address) = 0;

  /// Errors: IO; NO_DEVICE before the first device is attached (the kernel does not know yet).
  virtual Result<AddressSpaceInfo> info() = 0;

  /// Makes [offset, offset + length) of `memory` reachable at `iova`. All page aligned. Host memory
  /// and mapped BARs alike; the memory stays alive until it is unmapped. Errors: IOVA_IN_USE,
  /// IOVA_RANGE, MEMLOCK, MAPPING_LIMIT, BAD_RANGE, DEVICE_GONE, IO.
  Status map(std::shared_ptr<Memory> memory, uint64_t offset, uint64_t length, uint64_t iova,
             Access access);

  /// Undoes one map() call exactly. When it returns no device reaches the memory by this mapping
  /// any more, and no DMA that began before is still running. Errors: NOT_MAPPED, IO.
  Status unmap(uint64_t iova, uint64_t length);

  /// Undoes all of them; first failure is reported, the rest is still tried.
  Status unmapAll();

  /// The faults since the last call, oldest first; empty optional where this platform cannot tell
  /// (the kernel writes them to its log only).
  virtual std::optional<std::vector<DmaFault>> takeFaults() { return std::nullopt; }

 protected:
  AddressSpace() = default;

  virtual Status doMap(Memory& memory, uint64_t offset, uint64_t length, uint64_t iova,
                       Access access) = 0;
  virtual Status doUnmap(uint64_t iova, uint64_t length) = 0;

 private:
  struct Mapping {
    std::shared_ptr<Memory> memory;
    uint64_t length;
  };
  std::mutex mutex_;
  std::map<uint64_t, Mapping> mappings_;  // by IOVA
};

using AddressSpaceTable = WeakTable<AddressSpace>;

}  // namespace p2pmem
