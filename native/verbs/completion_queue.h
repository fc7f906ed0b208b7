// A completion queue of libibverbs, with a channel of its own where it has one.
#pragma once

#include <memory>

#include "verbs/device.h"

namespace p2pmem {

class VerbsCompletionQueue final : public rdma::CompletionQueue {
 public:
  /// Errors: RDMA_LIMIT, MEMLOCK, IO.
  static Result<std::shared_ptr<rdma::CompletionQueue>> create(std::shared_ptr<VerbsDevice> device,
                                                               uint32_t entries, bool channel);
  ~VerbsCompletionQueue() override;

  const VerbsDevice& device() const { return *device_; }
  ibv::cq* handle() const { return cq_; }

  uint32_t entries() const override { return entries_; }
  int poll(rdma::CompletionRecord* records, uint32_t room) override;
  int eventFd() const override { return channel_ == nullptr ? -1 : channel_->fd; }
  Status arm(bool solicitedOnly) override;
  void takeEvents() override;
  Status close() override;

 private:
  explicit VerbsCompletionQueue(std::shared_ptr<VerbsDevice> device) : device_(std::move(device)) {}

  std::shared_ptr<VerbsDevice> device_;
  ibv::comp_channel* channel_ = nullptr;
  ibv::cq* cq_ = nullptr;
  uint32_t entries_ = 0;
};

}  // namespace p2pmem
