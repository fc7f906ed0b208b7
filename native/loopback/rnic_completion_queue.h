// A completion queue: a ring that the NIC fills, with the machine's lock held, and one thread
// empties without it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/rdma.h"
#include "core/spin_lock.h"
#include "core/unique_fd.h"

namespace p2pmem::loopback {

class RnicContext;

class RnicCompletionQueue final : public rdma::CompletionQueue {
 public:
  /// Errors: IO.
  static Result<std::shared_ptr<RnicCompletionQueue>> create(std::shared_ptr<RnicContext> context,
                                                             uint32_t entries, bool channel);
  ~RnicCompletionQueue() override;

  uint32_t entries() const override { return mask_ + 1; }
  int poll(rdma::CompletionRecord* records, uint32_t room) override;
  int eventFd() const override { return eventFd_.get(); }
  Status arm(bool solicitedOnly) override;
  void takeEvents() override;
  Status close() override;

  // What follows is the NIC's, with the machine's lock held.

  /// False where there is no room: the queue is overrun, for good. True in `interrupts` where an
  /// event went out.
  bool push(const rdma::CompletionRecord& record, bool solicited, bool& interrupts);
  bool isOverrun() const { return overrun_; }
  /// What this queue pair has put there means nothing any more.
  void forget(uint32_t queuePair);
  /// The queue pairs that complete here.
  uint32_t users = 0;

  RnicContext& context() const { return *context_; }

 private:
  enum class Armed { no, solicited, any };

  RnicCompletionQueue(std::shared_ptr<RnicContext> context, uint32_t entries);

  std::shared_ptr<RnicContext> context_;
  std::vector<rdma::CompletionRecord> ring_;
  uint32_t mask_;
  std::atomic<uint32_t> tail_{0};  // the NIC's
  std::atomic<uint32_t> head_{0};  // the poller's
  SpinLock busy_;                  // of poll() and forget()
  std::atomic<Armed> armed_{Armed::no};
  UniqueFd eventFd_;
  bool overrun_ = false;
};

}  // namespace p2pmem::loopback
