// The half of a queue pair that carries out what the other side asks for (InfiniBand 1.4 §9.7.4 to
// §9.7.6, the responder). Used with the machine's lock held.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "loopback/rnic_gather.h"
#include "loopback/rnic_packet.h"
#include "loopback/rnic_spec.h"

namespace p2pmem::loopback {

class RnicQueuePair;

class RnicResponder {
 public:
  explicit RnicResponder(RnicQueuePair& queuePair) : queuePair_(queuePair) {}

  /// The queue pair becomes ready to receive; `psn`: of the first packet.
  void start(uint32_t psn);
  /// sourceFailed: as if the packet had not arrived.
  Moved receive(const rnic::Packet& packet, RnicGather& payload);
  /// Sends data that reads asked for.
  bool poll();
  void flush();

 private:
  /// A read that is being answered.
  struct Read {
    uint64_t address;
    uint64_t length;
    uint64_t done;
    uint32_t rkey;
    uint32_t psn;
  };

  Moved receiveSend(const rnic::Packet& packet, RnicGather& payload);
  Moved receiveWrite(const rnic::Packet& packet, RnicGather& payload);
  void receiveRead(const rnic::Packet& packet);
  void receiveDuplicate(const rnic::Packet& packet);
  bool fitsSequence(const rnic::Packet& packet) const;
  Moved place(const rnic::Packet& packet, RnicGather& payload, RnicGather& target);
  void finish(const rnic::Packet& packet);
  void completeReceive(const rnic::Packet& packet, rnic::WcStatus status);
  bool hasReceive() const;
  void sendResponse();
  void accept(uint32_t packets);
  void acknowledge();
  void notReady(bool isPageFault);
  void refuse(rnic::Nak nak);
  void reply(const rnic::Packet& packet);

  RnicQueuePair& queuePair_;
  uint32_t expected_ = 0;  // number of the next packet
  bool hasAsked_ = false;  // for the expected packet, by a negative acknowledgement
  uint32_t unacknowledged_ = 0;
  // The message that is arriving.
  bool isArriving_ = false;
  rnic::Packet message_;  // its first packet
  uint64_t arrived_ = 0;  // bytes

  std::array<Read, 2 * 16> reads_;  // those of the requester's limit, and repeated ones
  uint32_t firstRead_ = 0;
  uint32_t readCount_ = 0;
  std::optional<rnic::Packet> owed_;  // to be sent once all reads are answered
  bool failsThen_ = false;
};

}  // namespace p2pmem::loopback
