// The NIC as one process has opened it, and what belongs to that: protection domains and memory
// regions.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "core/rdma.h"
#include "core/unique_fd.h"
#include "loopback/machine.h"
#include "loopback/rnic_region.h"

namespace p2pmem::loopback {

class Rnic;

class RnicContext final : public rdma::RdmaDevice,
                          public std::enable_shared_from_this<RnicContext> {
 public:
  static constexpr uint32_t kMaxCompletionQueues = 1024;
  static constexpr uint32_t kMaxEntries = 1 << 16;

  /// Errors: DEVICE_GONE, NO_MEMORY, IO.
  static Result<std::shared_ptr<RnicContext>> open(std::shared_ptr<Machine> machine, Rnic& nic);
  ~RnicContext() override;

  Result<rdma::DeviceAttributes> attributes() const override;
  Result<rdma::PortAttributes> port(uint8_t number) const override;
  Result<std::vector<rdma::GidEntry>> gids(uint8_t port) const override;
  Result<std::shared_ptr<rdma::ProtectionDomain>> allocateDomain() override;
  Result<std::shared_ptr<rdma::CompletionQueue>> createCompletionQueue(uint32_t entries,
                                                                       bool channel) override;
  Result<std::shared_ptr<Memory>> allocateMemory(uint64_t length) override;
  int eventFd() const override { return eventFd_.get(); }
  std::optional<rdma::AsyncEvent> takeEvent() override;

  Machine& machine() const { return *machine_; }
  std::shared_ptr<Machine> machineHold() const { return machine_; }
  Rnic& nic() const { return nic_; }

  /// For the NIC: has the user hear of it.
  void report(const rdma::AsyncEvent& event);
  /// The NIC has failed, or was taken away: this is of no use any more. With the machine's lock.
  void abandon() { isAbandoned_ = true; }
  /// Errors: DEVICE_GONE. With the machine's lock.
  Status check() const;

  std::atomic<uint32_t> completionQueues{0};

 private:
  RnicContext(std::shared_ptr<Machine> machine, Rnic& nic, UniqueFd eventFd);

  std::shared_ptr<Machine> machine_;
  Rnic& nic_;
  UniqueFd eventFd_;
  bool isAbandoned_ = false;
  std::mutex mutex_;  // of the events
  std::deque<rdma::AsyncEvent> events_;
};

class RnicDomain final : public rdma::ProtectionDomain,
                         public std::enable_shared_from_this<RnicDomain> {
 public:
  RnicDomain(std::shared_ptr<RnicContext> context, uint32_t number)
      : context_(std::move(context)), number_(number) {}

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

  RnicContext& context() const { return *context_; }
  uint32_t number() const { return number_; }

 private:
  std::shared_ptr<RnicContext> context_;
  uint32_t number_;
};

/// The user's hold on a region of RnicMemory.
class RnicRegionHold final : public rdma::MemoryRegion {
 public:
  RnicRegionHold(std::shared_ptr<RnicDomain> domain, const RnicRegion& region)
      : domain_(std::move(domain)),
        key_(region.key),
        address_(region.address),
        length_(region.length) {}
  ~RnicRegionHold() override { (void)deregister(); }

  uint32_t lkey() const override { return key_; }
  uint32_t rkey() const override { return key_; }
  uint64_t address() const override { return address_; }
  uint64_t length() const override { return length_; }
  Status deregister() override;

 private:
  std::shared_ptr<RnicDomain> domain_;
  uint32_t key_;
  uint64_t address_;
  uint64_t length_;
  bool isDeregistered_ = false;
};

}  // namespace p2pmem::loopback
