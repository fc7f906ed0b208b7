#include "loopback/rnic_requester.h"

#include <algorithm>

#include "loopback/rnic.h"
#include "loopback/rnic_queue_pair.h"

namespace p2pmem::loopback {

using rnic::Packet;
using rnic::WcStatus;

namespace {

// What one round sends of one queue pair.
constexpr uint64_t kRoundBytes = 1 << 20;
constexpr uint32_t kRoundPackets = 64;
// Half of the numbers there are: neither side takes a new packet for an old one (§9.7.1).
constexpr uint32_t kMaxOutstanding = (rnic::kPsnMask + 1) / 2;

/// How far `a` is past `b`, which is not past it.
uint32_t offsetOf(uint32_t a, uint32_t b) { return (a - b) & rnic::kPsnMask; }

WcStatus statusOf(rnic::Nak nak) {
  switch (nak) {
    case rnic::Nak::remoteAccess:
      return WcStatus::remoteAccess;
    case rnic::Nak::remoteOperation:
      return WcStatus::remoteOperation;
    default:
      return WcStatus::remoteInvalidRequest;
  }
}

bool isSend(uint32_t opcode) { return opcode == rdma::kSend || opcode == rdma::kSendImm; }

}  // namespace

void RnicRequester::start() {
  psn_ = unacked_ = queuePair_.options().psn & rnic::kPsnMask;
  retriesLeft_ = queuePair_.options().retries;
  rnrRetriesLeft_ = queuePair_.options().rnrRetries;
}

uint32_t RnicRequester::oldest() const { return queuePair_.sendRing().head(); }

bool RnicRequester::poll() {
  if (isWaiting_) {
    if (queuePair_.nic().now() < waitUntil_) return false;
    isWaiting_ = false;
  }
  lacksPages_ = false;
  uint64_t bytes = 0;
  uint32_t packets = 0;
  while (packets < kRoundPackets && bytes < kRoundBytes && queuePair_.canSend() && !isWaiting_ &&
         next_ != queuePair_.sendRing().tail() && queuePair_.nic().canTransmit(queuePair_) &&
         sendOne(bytes))
    packets++;
  return packets > 0 || checkTimer();
}

// Its gather list from the message's begin on, or for a read from where data is missing.
WcStatus RnicRequester::gather(uint32_t index, RnicGather& pieces) {
  SendEntry& entry = queuePair_.sendRing()[index];
  if (entry.length > rnic::kLongestMessage) return WcStatus::localLength;
  if (entry.record.flags & rdma::kInline) {
    pieces.addPlain(queuePair_.sendRing().inlineData(index), entry.length);
    return WcStatus::success;
  }
  const bool isRead = entry.record.opcode == rdma::kRead;
  const rdma::Sge* sges = queuePair_.sendRing().sges(index);
  for (uint32_t i = 0; i < entry.record.sgeCount; i++) {
    if (sges[i].length == 0) continue;
    RnicRegion* region =
        queuePair_.nic().memory().find(sges[i].lkey, queuePair_.domain(), sges[i].address,
                                       sges[i].length, isRead ? uint32_t{rdma::kLocalWrite} : 0);
    if (!region) return WcStatus::localProtection;
    pieces.add(*region, sges[i].address - region->address, sges[i].length);
  }
  if (isRead) pieces.skip(entry.done);
  return WcStatus::success;
}

// False where it has to wait.
bool RnicRequester::sendOne(uint64_t& bytes) {
  Rnic& nic = queuePair_.nic();
  const uint32_t index = next_;
  SendEntry& entry = queuePair_.sendRing()[index];
  const rdma::SendRecord& record = entry.record;
  const bool isRead = record.opcode == rdma::kRead;
  if (offset_ == 0) {
    // §10.8.3.3: a fenced request starts once all reads before it are complete.
    if ((record.flags & rdma::kFence) && reads_ > 0) return false;
    if (isRead && reads_ >= queuePair_.options().readsAsInitiator) return false;
  }
  RnicGather pieces;
  WcStatus status = static_cast<WcStatus>(entry.failure);
  if (status == WcStatus::success) status = gather(index, pieces);
  if (status != WcStatus::success) {
    // Requests complete in order: what was sent before it comes first.
    if (oldest() != index) return false;
    fail(status);
    return true;
  }
  const uint64_t left = isRead ? entry.length - entry.done : entry.length - offset_;
  const uint64_t part = isRead ? left : std::min(left, nic.longestPacket(queuePair_));
  if (offsetOf(psn_, unacked_) + queuePair_.packetsIn(part) > kMaxOutstanding) return false;
  if (!isRead) pieces.skip(offset_);
  lacksPages_ = !pieces.isPresent(nic.memory(), std::min(left, nic.longestPacket(queuePair_)));
  if (lacksPages_) return false;

  // Until something of a message has been acknowledged, its numbers begin here.
  if (offset_ == 0 && entry.done == 0) entry.firstPsn = psn_;
  const bool isFirst = offset_ == 0;
  const bool isLast = part == left;
  const bool hasImmediate = record.opcode == rdma::kWriteImm || record.opcode == rdma::kSendImm;
  Packet packet{.kind = isRead                  ? Packet::Kind::readRequest
                        : isSend(record.opcode) ? Packet::Kind::send
                                                : Packet::Kind::write,
                .flags = static_cast<uint8_t>(isFirst * Packet::kFirst | isLast * Packet::kLast |
                                              (isLast && hasImmediate) * Packet::kImmediate |
                                              (isLast && (record.flags & rdma::kSolicited)) *
                                                  Packet::kSolicited),
                .psn = psn_,
                .immediate = record.immediate,
                .rkey = record.rkey,
                .address = record.remoteAddress + (isRead ? entry.done : 0),
                .length = isRead ? left : entry.length,
                .payload = isRead ? 0 : static_cast<uint32_t>(part)};
  psn_ = (psn_ + queuePair_.packetsIn(part)) & rnic::kPsnMask;
  if (isRead) reads_++;
  offset_ = isLast ? 0 : offset_ + part;
  if (isLast) next_++;
  bytes += part;
  // All is as it will be: the answer may come before this returns.
  if (queuePair_.transmit(packet, isRead ? nullptr : &pieces) == Moved::sourceFailed) {
    queuePair_.sendRing()[index].failure = static_cast<uint32_t>(WcStatus::localProtection);
    rewind(packet.psn);
  }
  return true;
}

void RnicRequester::receive(const Packet& packet) {
  if (!queuePair_.canSend()) return;
  // What an old packet says is known already; what none of ours can have caused is nobody's word.
  if (offsetOf(packet.psn, unacked_) >= offsetOf(psn_, unacked_)) return;
  RnicCounters& counters = queuePair_.nic().counters();
  if (packet.kind == Packet::Kind::acknowledge)
    return acknowledge(offsetOf(packet.psn, unacked_) + 1);
  acknowledge(offsetOf(packet.psn, unacked_));
  if (!queuePair_.canSend() || unacked_ != packet.psn) return;
  if (packet.kind == Packet::Kind::rnrNak) {
    rewind(packet.psn);
    wait(rnic::rnrTimer(packet.syndrome));
    if (packet.flags & Packet::kPageFault) return;
    counters.rnrNaks++;
    if (queuePair_.options().rnrRetries == rnic::kRetriesForEver) return;
    if (rnrRetriesLeft_ == 0) return fail(WcStatus::rnrRetryExceeded);
    rnrRetriesLeft_--;
    return;
  }
  const auto nak = static_cast<rnic::Nak>(packet.syndrome);
  if (nak != rnic::Nak::sequence) return fail(statusOf(nak));
  counters.sequenceErrors++;
  retry();
}

// So many packets more have arrived. A read among them whose data has not is asked for again: an
// acknowledgement never overtakes it (§9.7.5.1.2).
void RnicRequester::acknowledge(uint32_t packets) {
  while (packets > 0 && oldest() != next_) {
    const SendEntry& entry = queuePair_.sendRing()[oldest()];
    if (entry.record.opcode == rdma::kRead) return retry();
    const uint32_t left = offsetOf(entry.firstPsn + queuePair_.packetsIn(entry.length), unacked_);
    if (left > packets) break;
    complete();
    packets -= left;
  }
  if (packets > 0) progress((unacked_ + packets) & rnic::kPsnMask);
}

void RnicRequester::complete() {
  const SendEntry& entry = queuePair_.sendRing()[oldest()];
  const uint32_t packets = queuePair_.packetsIn(entry.length);
  progress((entry.firstPsn + packets) & rnic::kPsnMask);
  queuePair_.completeSend(WcStatus::success);
}

void RnicRequester::progress(uint32_t unacked) {
  unacked_ = unacked;
  isTimed_ = false;
  retriesLeft_ = queuePair_.options().retries;
  rnrRetriesLeft_ = queuePair_.options().rnrRetries;
}

Moved RnicRequester::receiveResponse(const Packet& packet, RnicGather& payload) {
  if (!queuePair_.canSend()) return Moved::all;
  // What was asked for again is not taken from the answer to an earlier request.
  if (offsetOf(packet.psn, unacked_) >= offsetOf(psn_, unacked_)) return Moved::all;
  acknowledge(offsetOf(packet.psn, unacked_));
  const uint32_t index = oldest();
  if (!queuePair_.canSend() || index == next_) return Moved::all;
  SendEntry& entry = queuePair_.sendRing()[index];
  if (entry.record.opcode != rdma::kRead || packet.psn != unacked_) return Moved::all;
  // What is left of the read, or whole packets of it: both ends are to have the same MTU.
  const uint64_t left = entry.length - entry.done;
  const uint32_t packets = queuePair_.packetsIn(packet.payload);
  const bool isWhole = packet.payload > 0 && packet.payload % queuePair_.options().mtu == 0;
  const uint32_t before = offsetOf(packet.psn, entry.firstPsn);
  if (packet.payload > left || (packet.payload < left && !isWhole) ||
      before + packets > queuePair_.packetsIn(entry.length)) {
    fail(WcStatus::localLength);
    return Moved::all;
  }
  RnicGather target;
  const WcStatus status = gather(index, target);
  if (status != WcStatus::success) {
    fail(status);
    return Moved::all;
  }
  if (!target.isPresent(queuePair_.nic().memory(), packet.payload)) {
    rewind(packet.psn);  // asked for again once it is
    return Moved::all;
  }
  const Moved moved = move(queuePair_.nic().dma(), payload, target, packet.payload);
  if (moved == Moved::targetFailed) fail(WcStatus::localProtection);
  if (moved != Moved::all) return moved;
  entry.done += packet.payload;
  progress((packet.psn + packets) & rnic::kPsnMask);
  if (entry.done < entry.length) return Moved::all;
  reads_--;
  queuePair_.completeSend(WcStatus::success);
  return Moved::all;
}

void RnicRequester::fail(WcStatus status) {
  queuePair_.completeSend(status);
  queuePair_.fail();
}

void RnicRequester::flush() {
  while (oldest() != queuePair_.sendRing().tail()) queuePair_.completeSend(WcStatus::flushed);
  next_ = oldest();
  offset_ = 0;
  reads_ = 0;
  isWaiting_ = isTimed_ = false;
}

void RnicRequester::retry() {
  isTimed_ = false;
  if (retriesLeft_ == 0) return fail(WcStatus::retryExceeded);
  retriesLeft_--;
  queuePair_.nic().counters().retransmissions++;
  rewind(unacked_);
}

// What is sent next is the packet with this number.
void RnicRequester::rewind(uint32_t psn) {
  RnicSendRing& ring = queuePair_.sendRing();
  uint32_t end = next_ + (offset_ > 0 ? 1 : 0);
  uint32_t found = oldest();
  const uint32_t offset = offsetOf(psn, unacked_);
  while (found + 1 != end && found != end && offsetOf(ring[found + 1].firstPsn, unacked_) <= offset)
    found++;
  if (found == end) return;  // nothing is under way
  for (uint32_t i = found; i != next_; i++)
    if (ring[i].record.opcode == rdma::kRead) reads_--;
  const SendEntry& entry = ring[found];
  const bool isRead = entry.record.opcode == rdma::kRead;
  const uint32_t mtu = queuePair_.options().mtu;
  // Of a read it is the first whose data is missing; no number is past the message's last.
  const uint32_t packets =
      isRead ? static_cast<uint32_t>(entry.done / mtu)
             : std::min(offsetOf(psn, entry.firstPsn), queuePair_.packetsIn(entry.length) - 1);
  next_ = found;
  offset_ = isRead ? 0 : uint64_t{packets} * mtu;
  psn_ = (entry.firstPsn + packets) & rnic::kPsnMask;
}

void RnicRequester::wait(std::chrono::nanoseconds time) {
  isWaiting_ = true;
  isTimed_ = false;
  waitUntil_ = queuePair_.nic().now() + time;
}

bool RnicRequester::checkTimer() {
  // Nobody is late while the message cannot be finished for want of its own memory.
  if (!hasUnacknowledged() || isWaiting_ || lacksPages_ || queuePair_.options().timeout == 0) {
    isTimed_ = false;
    return false;
  }
  const Clock::time_point now = queuePair_.nic().now();
  if (!isTimed_) {
    isTimed_ = true;
    deadline_ = now + rnic::ackTimeout(queuePair_.options().timeout);
    return false;
  }
  if (now < deadline_) return false;
  queuePair_.nic().counters().timeouts++;
  retry();
  return true;
}

}  // namespace p2pmem::loopback
