// The half of a queue pair that sends requests (InfiniBand 1.4 §9.7.3 and §9.7.5 to §9.7.8, the
// requester): packet sequence numbers, acknowledgements, retries. Used with the machine's lock
// held.
#pragma once

#include <chrono>
#include <cstdint>

#include "loopback/rnic_gather.h"
#include "loopback/rnic_packet.h"
#include "loopback/rnic_rings.h"
#include "loopback/rnic_spec.h"

namespace p2pmem::loopback {

class RnicQueuePair;

class RnicRequester {
 public:
  using Clock = std::chrono::steady_clock;

  explicit RnicRequester(RnicQueuePair& queuePair) : queuePair_(queuePair) {}

  /// The queue pair becomes ready to send.
  void start();
  bool poll();
  /// Takes an acknowledgement. Afterwards the queue pair may have failed.
  void receive(const rnic::Packet& packet);
  Moved receiveResponse(const rnic::Packet& packet, RnicGather& payload);
  /// All that was posted ends with a status of its own, then nothing is under way.
  void flush();

 private:
  bool sendOne(uint64_t& bytes);
  rnic::WcStatus gather(uint32_t index, RnicGather& pieces);
  void acknowledge(uint32_t packets);
  void skipAcknowledged();
  void complete();
  void progress(uint32_t unacked);
  void fail(rnic::WcStatus status);
  void retry();
  void rewind(uint32_t psn);
  bool checkTimer();
  bool hasUnacknowledged() const { return oldest() != next_ || offset_ != 0; }
  uint32_t oldest() const;
  void wait(std::chrono::nanoseconds time);

  RnicQueuePair& queuePair_;
  uint32_t next_ = 0;    // entry that is being sent
  uint64_t offset_ = 0;  // bytes of it that have been
  uint32_t psn_ = 0;     // of the next packet
  // Past the last packet that was ever sent, and past its entry: what is next may come before it,
  // where packets are sent again.
  uint32_t sentPsn_ = 0;
  uint32_t sentEnd_ = 0;
  uint32_t unacked_ = 0;  // the oldest that nothing has acknowledged
  uint32_t reads_ = 0;    // under way
  uint32_t retriesLeft_ = 0;
  uint32_t rnrRetriesLeft_ = 0;
  bool isWaiting_ = false;   // for a receiver that was not ready
  bool lacksPages_ = false;  // of what is to be sent next
  bool isTimed_ = false;
  Clock::time_point waitUntil_;
  Clock::time_point deadline_;
};

}  // namespace p2pmem::loopback
