#include "loopback/rnic_requester.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "loopback/rnic.h"
#include "loopback/rnic_queue_pair.h"

namespace p2pmem::loopback {

using rnic::offsetOf;
using rnic::Packet;
using rnic::WcStatus;

namespace {

// What one round sends of one queue pair.
constexpr uint64_t kRoundBytes = 1 << 20;
constexpr uint32_t kRoundPackets = 64;
// Half of the numbers there are: neither side takes a new packet for an old one (§9.7.1).
constexpr uint32_t kMaxOutstanding = (rnic::kPsnMask + 1) / 2;

bool isSend(uint32_t opcode) { return opcode == rdma::kSend || opcode == rdma::kSendImm; }

}  // namespace

void RnicRequester::start() {
  psn_ = unacked_ = sentPsn_ = queuePair_.options().psn & rnic::kPsnMask;
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
  const auto [sentPsn, sentEnd] = std::pair(sentPsn_, sentEnd_);
  if (offsetOf(psn_, unacked_) > offsetOf(sentPsn_, unacked_)) {
    sentPsn_ = psn_;
    sentEnd_ = index + 1;
  }
  // All is as it will be: the answer may come before this returns.
  if (queuePair_.transmit(packet, isRead ? nullptr : &pieces) == Moved::sourceFailed) {
    queuePair_.sendRing()[index].failure = static_cast<uint32_t>(WcStatus::localProtection);
    std::tie(sentPsn_, sentEnd_) = std::pair(sentPsn, sentEnd);
    rewind(packet.psn);
  }
  return true;
}

void RnicRequester::fail(WcStatus status) {
  queuePair_.completeSend(status);
  queuePair_.fail();
}

void RnicRequester::flush() {
  while (oldest() != queuePair_.sendRing().tail()) queuePair_.completeSend(WcStatus::flushed);
  next_ = sentEnd_ = oldest();
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
