// A protection domain of libibverbs: what makes memory regions and queue pairs.
#pragma once

#include <memory>

#include "verbs/device.h"

namespace p2pmem {

class VerbsProtectionDomain final : public rdma::ProtectionDomain,
                                    public std::enable_shared_from_this<VerbsProtectionDomain> {
 public:
  /// Errors: RDMA_LIMIT, IO.
  static Result<std::shared_ptr<rdma::ProtectionDomain>> create(
      std::shared_ptr<VerbsDevice> device);
  ~VerbsProtectionDomain() override;

  const VerbsDevice& device() const { return *device_; }
  ibv::pd* handle() const { return pd_; }

  Result<std::shared_ptr<rdma::MemoryRegion>> registerHost(std::shared_ptr<Memory> memory,
                                                           uint64_t offset, uint64_t length,
                                                           uint32_t access) override;
  Result<std::shared_ptr<rdma::MemoryRegion>> registerDmabuf(int fd, uint64_t offset,
                                                             uint64_t length, uint64_t address,
                                                             uint32_t access,
                                                             std::shared_ptr<Memory> keep) override;
  Result<std::shared_ptr<rdma::QueuePair>> createQueuePair(
      std::shared_ptr<rdma::CompletionQueue> sends, std::shared_ptr<rdma::CompletionQueue> receives,
      const rdma::QueuePairOptions& options) override;

 private:
  VerbsProtectionDomain(std::shared_ptr<VerbsDevice> device, ibv::pd* pd)
      : device_(std::move(device)), pd_(pd) {}

  /// Errors: BAD_RANGE, REGION_TOO_LARGE; NO_ODP, where that is asked for.
  Status checkRegion(uint64_t length, uint32_t access) const;

  std::shared_ptr<VerbsDevice> device_;
  ibv::pd* pd_;
};

}  // namespace p2pmem
