// An RC queue pair of libibverbs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "verbs/completion_queue.h"
#include "verbs/protection_domain.h"

namespace p2pmem {

class VerbsQueuePair final : public rdma::QueuePair {
 public:
  /// Errors: RDMA_LIMIT, IO.
  static Result<std::shared_ptr<rdma::QueuePair>> create(
      std::shared_ptr<VerbsProtectionDomain> domain, std::shared_ptr<VerbsCompletionQueue> sends,
      std::shared_ptr<VerbsCompletionQueue> receives, const rdma::QueuePairOptions& options);
  ~VerbsQueuePair() override;

  uint32_t number() const override { return number_; }
  uint32_t maxInline() const override { return maxInline_; }
  Status initialize(const rdma::ConnectionOptions& options) override;
  Status connect(const rdma::ConnectionOptions& options,
                 const rdma::QueuePairAddress& remote) override;
  Status toError() override;
  Result<rdma::QueuePairState> state() const override;
  int postSends(const uint8_t* ring, uint32_t mask, uint32_t first, uint32_t count) override;
  int postReceives(const uint8_t* ring, uint32_t mask, uint32_t first, uint32_t count) override;
  Status close() override;

 private:
  VerbsQueuePair(std::shared_ptr<VerbsProtectionDomain> domain,
                 std::shared_ptr<VerbsCompletionQueue> sends,
                 std::shared_ptr<VerbsCompletionQueue> receives,
                 const rdma::QueuePairOptions& options);

  const VerbsDevice& device() const { return domain_->device(); }
  Status modify(ibv::qp_attr& attributes, int mask, const char* step);
  /// Errors: NO_GID.
  Result<ibv::ah_attr> pathTo(const rdma::QueuePairAddress& remote,
                              const rdma::ConnectionOptions& options, bool ethernet) const;

  // Destroyed after the queue pair that is made of them.
  std::shared_ptr<VerbsProtectionDomain> domain_;
  std::shared_ptr<VerbsCompletionQueue> sends_;
  std::shared_ptr<VerbsCompletionQueue> receives_;
  rdma::QueuePairOptions options_;
  ibv::qp* qp_ = nullptr;
  uint32_t number_ = 0;
  uint32_t maxInline_ = 0;
  // One request for each record of a ring, each with the next one as its successor, in a circle: a
  // batch is a part of it, cut behind its last request while it is posted.
  std::vector<ibv::send_wr> sendChain_;
  std::vector<ibv::recv_wr> receiveChain_;
};

}  // namespace p2pmem
