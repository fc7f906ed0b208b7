// A kernel RDMA device, opened through libibverbs. Its context is shared by all environments.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/rdma.h"
#include "verbs/ibverbs.h"

namespace p2pmem {

class VerbsDevice final : public rdma::RdmaDevice,
                          public std::enable_shared_from_this<VerbsDevice> {
 public:
  /// Names of those that libibverbs has a driver for. Errors: NO_VERBS, PERMISSION.
  static Result<std::vector<std::string>> list();
  /// Errors: NO_VERBS, UNKNOWN_DEVICE, PERMISSION, IO.
  static Result<std::shared_ptr<rdma::RdmaDevice>> open(const std::string& name);
  ~VerbsDevice() override;

  const Ibverbs& verbs() const { return verbs_; }
  ibv::context* context() const { return context_; }

  /// Errors: NO_PORT, IO.
  Result<ibv::port_attr> queryPort(uint8_t number) const;
  /// All zeros where it is not set, or there is none.
  rdma::Gid queryGid(uint8_t port, uint32_t index) const;

  Result<rdma::DeviceAttributes> attributes() const override;
  Result<rdma::PortAttributes> port(uint8_t number) const override;
  Result<std::vector<rdma::GidEntry>> gids(uint8_t port) const override;
  Result<std::shared_ptr<rdma::ProtectionDomain>> allocateDomain() override;
  Result<std::shared_ptr<rdma::CompletionQueue>> createCompletionQueue(uint32_t entries,
                                                                       bool channel) override;
  /// Errors: UNSUPPORTED.
  Result<std::shared_ptr<Memory>> allocateMemory(uint64_t length) override;
  int eventFd() const override { return context_->async_fd; }
  std::optional<rdma::AsyncEvent> takeEvent() override;

 private:
  VerbsDevice(std::string name, const Ibverbs& verbs, ibv::context* context)
      : RdmaDevice(std::move(name)), verbs_(verbs), context_(context) {}

  const Ibverbs& verbs_;
  ibv::context* context_;
};

}  // namespace p2pmem
