// A memory region of libibverbs: pinned, on demand, or of a dma-buf.
#pragma once

#include <memory>

#include "core/memory.h"
#include "verbs/protection_domain.h"

namespace p2pmem {

class VerbsMemoryRegion final : public rdma::MemoryRegion {
 public:
  /// `address`: what its first byte is called. `memory`: what has to outlive the region.
  VerbsMemoryRegion(std::shared_ptr<VerbsProtectionDomain> domain, ibv::mr* mr, uint64_t address,
                    uint64_t length, std::shared_ptr<Memory> memory);
  ~VerbsMemoryRegion() override;

  uint32_t lkey() const override { return lkey_; }
  uint32_t rkey() const override { return rkey_; }
  uint64_t address() const override { return address_; }
  uint64_t length() const override { return length_; }
  Status deregister() override;

 private:
  std::shared_ptr<VerbsProtectionDomain> domain_;
  std::shared_ptr<Memory> memory_;
  ibv::mr* mr_;
  uint32_t lkey_;
  uint32_t rkey_;
  uint64_t address_;
  uint64_t length_;
};

}  // namespace p2pmem
