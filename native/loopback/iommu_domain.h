// The page table of one IOMMU domain: which IOVAs lead where, and what the device may do there. Its
// faults are kept here too. Guarded by the machine's lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/address_space.h"

namespace p2pmem::loopback {

class Endpoint;
struct Bar;

struct IommuMapping {
  uint64_t iova = 0;
  uint64_t length = 0;
  uint8_t* data = nullptr;
  Access access;
  const Endpoint* target = nullptr;  // whose BAR it is; null: host memory
  const Bar* bar = nullptr;          // of that endpoint
  uint64_t generation = 0;           // of that endpoint when it was mapped
};

class IommuDomain {
 public:
  /// `mappingLimit`: how many mappings there may be.
  explicit IommuDomain(uint32_t iovaBits, uint32_t mappingLimit = kMappingLimit);

  const std::vector<IovaRange>& ranges() const { return ranges_; }
  uint32_t mappingsAvailable() const {
    return mappingLimit_ - static_cast<uint32_t>(mappings_.size());
  }

  /// Errors: IOVA_RANGE, MAPPING_LIMIT. The caller has checked for overlap (core/address_space.h).
  Status map(const IommuMapping& mapping);
  void unmap(uint64_t iova) { mappings_.erase(iova); }
  void clear() { mappings_.clear(); }

  /// The mapping that holds `iova`; else null and, in `holeLast`, the last address from there on
  /// that none holds.
  const IommuMapping* find(uint64_t iova, uint64_t& holeLast) const;

  void recordFault(const Endpoint& device, uint64_t iova, bool write, const char* reason);
  std::vector<DmaFault> takeFaults();

 private:
  struct Fault {
    const Endpoint* device;
    uint64_t iova;
    bool write;
    const char* reason;
  };

  static constexpr uint32_t kMappingLimit = 65535;  // vfio_iommu_type1.dma_entry_limit
  static constexpr size_t kFaultsKept = 256;        // the newest

  std::vector<IovaRange> ranges_;
  uint32_t mappingLimit_;
  std::map<uint64_t, IommuMapping> mappings_;  // by IOVA
  std::array<Fault, kFaultsKept> faults_{};
  uint64_t faultCount_ = 0;
};

}  // namespace p2pmem::loopback
