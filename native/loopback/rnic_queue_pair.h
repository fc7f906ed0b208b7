// An RC queue pair of the NIC: the verbs that its user calls, and what both its halves share.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/rdma.h"
#include "loopback/rnic_completion_queue.h"
#include "loopback/rnic_requester.h"
#include "loopback/rnic_responder.h"
#include "loopback/rnic_rings.h"
#include "loopback/rnic_spec.h"

namespace p2pmem::loopback {

class Rnic;
class RnicDomain;

class RnicQueuePair final : public rdma::QueuePair {
 public:
  static constexpr uint32_t kMaxInline = 512;
  static constexpr uint8_t kMaxReads = 16;

  RnicQueuePair(std::shared_ptr<RnicDomain> domain, std::shared_ptr<RnicCompletionQueue> sends,
                std::shared_ptr<RnicCompletionQueue> receives,
                const rdma::QueuePairOptions& options);
  ~RnicQueuePair() override { (void)close(); }

  uint32_t number() const override { return number_; }
  uint32_t maxInline() const override { return sendRing_.maxInline(); }
  Status initialize(const rdma::ConnectionOptions& options) override;
  Status connect(const rdma::ConnectionOptions& options,
                 const rdma::QueuePairAddress& remote) override;
  Status toError() override;
  Result<rdma::QueuePairState> state() const override { return state_.load(); }
  int postSends(const uint8_t* ring, uint32_t mask, uint32_t first, uint32_t count) override;
  int postReceives(const uint8_t* ring, uint32_t mask, uint32_t first, uint32_t count) override;
  Status close() override;

  // What follows is the NIC's, with the machine's lock held.

  /// The NIC knows it from now on.
  void open(uint32_t number) {
    number_ = number;
    isClosed_ = false;
  }
  /// Sends what may be sent, answers reads, flushes; false if there was nothing to do.
  bool poll();
  /// To the error state: what was posted is flushed.
  void fail();
  bool canReceive() const {
    const auto state = state_.load(std::memory_order_relaxed);
    return state == rdma::QueuePairState::readyToReceive ||
           state == rdma::QueuePairState::readyToSend;
  }
  bool canSend() const {
    return state_.load(std::memory_order_relaxed) == rdma::QueuePairState::readyToSend;
  }
  bool isFailed() const {
    return state_.load(std::memory_order_relaxed) == rdma::QueuePairState::error;
  }
  bool completesIn(const RnicCompletionQueue& queue) const {
    return &queue == sends_.get() || &queue == receives_.get();
  }
  bool isOverrun() const { return sends_->isOverrun() || receives_->isOverrun(); }

  Rnic& nic() const { return nic_; }
  RnicContext& context() const;
  uint32_t domain() const { return domainNumber_; }
  const rdma::ConnectionOptions& options() const { return options_; }
  const rdma::QueuePairAddress& remote() const { return remote_; }
  /// The other end is in another process.
  bool isRemote() const { return isRemote_; }
  uint32_t packetsIn(uint64_t bytes) const {
    return bytes == 0 ? 1 : static_cast<uint32_t>((bytes + options_.mtu - 1) / options_.mtu);
  }
  RnicSendRing& sendRing() { return sendRing_; }
  RnicReceiveRing& receiveRing() { return receiveRing_; }
  RnicRequester& requester() { return requester_; }
  RnicResponder& responder() { return responder_; }

  /// Completes the oldest entry of a ring and takes it out.
  void completeSend(rnic::WcStatus status);
  /// `packet`: the last one of the message, null of none; `bytes`: of the message.
  void completeReceive(rnic::WcStatus status, const rnic::Packet* packet, uint64_t bytes);
  /// Sends a packet to the other end.
  Moved transmit(rnic::Packet packet, RnicGather* payload);

 private:
  void push(RnicCompletionQueue& queue, const rdma::CompletionRecord& record, bool solicited);
  Status refuse(int number, const char* message) const;

  Rnic& nic_;
  std::shared_ptr<RnicDomain> domain_;
  uint32_t domainNumber_;
  std::shared_ptr<RnicCompletionQueue> sends_;
  std::shared_ptr<RnicCompletionQueue> receives_;
  uint32_t number_ = 0;
  std::atomic<rdma::QueuePairState> state_{rdma::QueuePairState::reset};
  bool isClosed_ = true;
  bool isRemote_ = false;
  rdma::ConnectionOptions options_;
  rdma::QueuePairAddress remote_;
  RnicSendRing sendRing_;
  RnicReceiveRing receiveRing_;
  RnicRequester requester_;
  RnicResponder responder_;
};

}  // namespace p2pmem::loopback
