#include "loopback/rnic_completion_queue.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>

#include "loopback/rnic_context.h"

namespace p2pmem::loopback {

Result<std::shared_ptr<RnicCompletionQueue>> RnicCompletionQueue::create(
    std::shared_ptr<RnicContext> context, uint32_t entries, bool channel) {
  std::shared_ptr<RnicCompletionQueue> queue(new RnicCompletionQueue(std::move(context), entries));
  if (!channel) return queue;
  queue->eventFd_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!queue->eventFd_) return systemError("IO", "eventfd", "cannot make a completion channel");
  return queue;
}

RnicCompletionQueue::RnicCompletionQueue(std::shared_ptr<RnicContext> context, uint32_t entries)
    : context_(std::move(context)),
      ring_(std::bit_ceil(std::max(entries, 1u))),
      mask_(static_cast<uint32_t>(ring_.size()) - 1) {
  context_->completionQueues++;
}

RnicCompletionQueue::~RnicCompletionQueue() { context_->completionQueues--; }

int RnicCompletionQueue::poll(rdma::CompletionRecord* records, uint32_t room) {
  uint32_t head = head_.load(std::memory_order_relaxed);
  // The NIC has written what it counts (release in push()).
  if (tail_.load(std::memory_order_acquire) == head) return 0;
  const std::lock_guard guard(busy_);
  const uint32_t tail = tail_.load(std::memory_order_acquire);
  uint32_t taken = 0;
  for (; head != tail && taken < room; head++) {
    const rdma::CompletionRecord& record = ring_[head & mask_];
    if (record.queuePair == 0) continue;  // see forget()
    memcpy(&records[taken++], &record, sizeof record);
  }
  head_.store(head, std::memory_order_release);
  return static_cast<int>(taken);
}

bool RnicCompletionQueue::push(const rdma::CompletionRecord& record, bool solicited,
                               bool& interrupts) {
  const uint32_t tail = tail_.load(std::memory_order_relaxed);
  if (overrun_ || tail - head_.load(std::memory_order_acquire) > mask_) {
    overrun_ = true;
    return false;
  }
  ring_[tail & mask_] = record;
  // Ordered before the look at armed_: who arms and then polls misses neither.
  tail_.store(tail + 1, std::memory_order_seq_cst);
  const Armed armed = armed_.load(std::memory_order_seq_cst);
  if (armed == Armed::no || (armed == Armed::solicited && !solicited)) return true;
  if (armed_.exchange(Armed::no) == Armed::no) return true;
  (void)eventfd_write(eventFd_.get(), 1);
  interrupts = true;
  return true;
}

void RnicCompletionQueue::forget(uint32_t queuePair) {
  const std::lock_guard guard(busy_);
  for (uint32_t i = head_.load(std::memory_order_relaxed);
       i != tail_.load(std::memory_order_relaxed); i++)
    if (ring_[i & mask_].queuePair == queuePair) ring_[i & mask_].queuePair = 0;
}

Status RnicCompletionQueue::arm(bool solicitedOnly) {
  if (!eventFd_)
    return Error{.code = "IO", .message = "a completion queue without a channel has no events"};
  // Asking for any completion outweighs asking for solicited ones (§11.4.2.2).
  Armed expected = Armed::no;
  if (!solicitedOnly)
    armed_.store(Armed::any);
  else
    armed_.compare_exchange_strong(expected, Armed::solicited);
  return {};
}

void RnicCompletionQueue::takeEvents() {
  eventfd_t count = 0;
  if (eventFd_) (void)eventfd_read(eventFd_.get(), &count);
}

Status RnicCompletionQueue::close() {
  const MachineLock::Guard guard(context_->machine().lock());
  if (users == 0) return {};
  return Error{.code = "IN_USE", .message = "queue pairs still complete in this queue"};
}

}  // namespace p2pmem::loopback
