// The NIC's memory keys, and its driver's share of them: pinning, mapping in the NIC's own IOMMU
// domain, on-demand paging. Used with the machine's lock held.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/rdma.h"
#include "loopback/endpoint.h"
#include "loopback/first_fit.h"
#include "loopback/machine_context.h"
#include "loopback/rnic_counters.h"
#include "loopback/rnic_region.h"

namespace p2pmem::loopback {

class RnicMemory {
 public:
  static constexpr uint32_t kMaxRegions = 4096;
  static constexpr uint64_t kMaxRegionBytes = uint64_t{1} << 36;

  RnicMemory(Endpoint& self, MachineContext context, RnicCounters& counters);

  /// Host memory, or the NIC's own. Errors: NOT_REGISTERED, REGION_TOO_LARGE, RDMA_LIMIT,
  /// BAD_RANGE, IO.
  Result<const RnicRegion*> addMemory(uint32_t domain, std::shared_ptr<Memory> memory,
                                      uint64_t offset, uint64_t length, uint32_t access);
  /// Errors: BAD_DMABUF, BAD_RANGE, REGION_TOO_LARGE, RDMA_LIMIT, IO.
  Result<const RnicRegion*> addDmabuf(uint32_t domain, std::shared_ptr<DmabufExport> dmabuf,
                                      uint64_t offset, uint64_t length, uint64_t address,
                                      uint32_t access, std::shared_ptr<Memory> keep);
  /// What it held, to be let go of without the lock.
  std::unique_ptr<RnicRegion> remove(uint32_t key);

  /// The region that the key stands for, if it holds [address, address + length), belongs to the
  /// domain, allows all of `access`, and has not been revoked; else null.
  RnicRegion* find(uint32_t key, uint32_t domain, uint64_t address, uint64_t length,
                   uint32_t access) {
    const uint32_t slot = key >> kTagBits;
    RnicRegion* region = slot < regions_.size() ? regions_[slot].get() : nullptr;
    if (!region || region->key != key || region->domain != domain ||
        (region->access & access) != access || !region->contains(address, length) ||
        (region->dmabuf && region->dmabuf->isRevoked()))
      return nullptr;
    return region;
  }

  /// Whether the device can reach these bytes; if not, a fault is raised, and asking again helps.
  bool isPresent(RnicRegion& region, uint64_t offset, uint64_t length) {
    return !region.isOnDemand || arePagesPresent(region, offset, length);
  }
  /// The driver's fault handler: maps what was asked for, but for what is being invalidated. True
  /// if it mapped something.
  bool serveFaults();

  /// mmu_interval_notifier of the kernel: the pages of this part of `memory` are about to change.
  /// From when it returns until invalidateEnd() no device reaches them through a region on demand.
  void invalidateStart(const Memory& memory, uint64_t offset, uint64_t length);
  /// False where no such invalidation has begun.
  bool invalidateEnd(const Memory& memory, uint64_t offset, uint64_t length);

 private:
  static constexpr uint32_t kTagBits = 8;
  static constexpr size_t kFaultsKept = 64;

  struct PageFault {
    uint32_t key;
    uint64_t first;  // pages
    uint64_t last;
  };
  struct Range {
    const uint8_t* first;
    const uint8_t* end;
    bool operator==(const Range&) const = default;
  };

  Result<std::unique_ptr<RnicRegion>> prepare(uint32_t domain, uint64_t address, uint64_t length,
                                              uint32_t access);
  Status map(RnicRegion& region, uint64_t offset, uint64_t length, IommuMapping mapping);
  const RnicRegion* insert(std::unique_ptr<RnicRegion> region);
  bool arePagesPresent(RnicRegion& region, uint64_t offset, uint64_t length);
  bool isInvalidated(const uint8_t* page) const;
  static Range rangeOf(const Memory& memory, uint64_t offset, uint64_t length);
  const char* refusalOf(const Endpoint& provider) const;

  Endpoint& self_;
  MachineContext context_;
  RnicCounters& counters_;
  // As the kernel's DMA API does it: clear of all bridge windows, which are below 4 GiB and from
  // 256 GiB on (fabric.cc).
  FirstFit iovas_{uint64_t{1} << 32, uint64_t{1} << 38};
  std::vector<std::unique_ptr<RnicRegion>> regions_;  // by slot
  uint32_t live_ = 0;
  std::vector<uint8_t> tags_;  // by slot: of the last key
  std::vector<PageFault> faults_;
  std::vector<Range> invalidated_;
};

}  // namespace p2pmem::loopback
