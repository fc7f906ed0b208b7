// An IOMMU domain of the loopback machine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/address_space.h"
#include "loopback/iommu_domain.h"
#include "loopback/machine.h"

namespace p2pmem::loopback {

class LoopbackAddressSpace final : public AddressSpace {
 public:
  explicit LoopbackAddressSpace(std::shared_ptr<Machine> machine);
  ~LoopbackAddressSpace() override;

  Result<std::shared_ptr<Device>> openDevice(const std::string& address) override;
  Result<AddressSpaceInfo> info() override;
  std::optional<std::vector<DmaFault>> takeFaults() override;

 protected:
  Status doMap(Memory& memory, uint64_t offset, uint64_t length, uint64_t iova,
               Access access) override;
  Status doUnmap(uint64_t iova, uint64_t length) override;

 private:
  std::shared_ptr<Machine> machine_;
  std::shared_ptr<IommuDomain> domain_;
  bool hadDevice_ = false;
};

}  // namespace p2pmem::loopback
