// The send queue and the receive queue of a queue pair, as the driver fills them, without a lock
// and by one thread at a time, and the NIC reads them.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <vector>

#include "core/rdma_ring.h"

namespace p2pmem::loopback {

struct SendEntry {
  rdma::SendRecord record;
  uint64_t length = 0;  // of the message, bytes
  // What the NIC keeps with it.
  uint64_t done = 0;  // of a read: bytes that have come
  uint32_t firstPsn = 0;
  uint32_t failure = 0;  // status with which it ends, once all before it have
};

/// Entries with `sgesEach` gather entries and `inlineEach` bytes of inline data each.
template <class Entry>
class RnicRing {
 public:
  RnicRing(uint32_t entries, uint32_t sgesEach, uint32_t inlineEach)
      : entries_(std::bit_ceil(std::max(entries, 1u))),
        sges_(entries_.size() * sgesEach),
        inline_(entries_.size() * inlineEach),
        sgesEach_(sgesEach),
        inlineEach_(inlineEach),
        mask_(static_cast<uint32_t>(entries_.size()) - 1) {}

  uint32_t maxSge() const { return sgesEach_; }
  uint32_t maxInline() const { return inlineEach_; }

  Entry& operator[](uint32_t index) { return entries_[index & mask_]; }
  rdma::Sge* sges(uint32_t index) { return &sges_[size_t{index & mask_} * sgesEach_]; }
  uint8_t* inlineData(uint32_t index) {
    return inline_.data() + size_t{index & mask_} * inlineEach_;
  }

  // The driver's side.
  uint32_t room() const { return mask_ + 1 - (posted_ - head_.load(std::memory_order_acquire)); }
  uint32_t posted() const { return posted_; }
  /// The entry at posted() is written.
  void post() { tail_.store(++posted_, std::memory_order_release); }

  // The NIC's side.
  uint32_t tail() const { return tail_.load(std::memory_order_acquire); }
  uint32_t head() const { return head_.load(std::memory_order_relaxed); }
  void release() { head_.store(head() + 1, std::memory_order_release); }

 private:
  std::vector<Entry> entries_;
  std::vector<rdma::Sge> sges_;
  std::vector<uint8_t> inline_;
  uint32_t sgesEach_;
  uint32_t inlineEach_;
  uint32_t mask_;
  uint32_t posted_ = 0;
  std::atomic<uint32_t> tail_{0};
  std::atomic<uint32_t> head_{0};  // the oldest that is not completed
};

using RnicSendRing = RnicRing<SendEntry>;
using RnicReceiveRing = RnicRing<rdma::ReceiveRecord>;

}  // namespace p2pmem::loopback
