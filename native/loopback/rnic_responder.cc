#include "loopback/rnic_responder.h"

#include <algorithm>

#include "loopback/rnic.h"
#include "loopback/rnic_queue_pair.h"

namespace p2pmem::loopback {

using rnic::Nak;
using rnic::Packet;
using rnic::psnDistance;
using rnic::WcStatus;

namespace {

// Within a long message an acknowledgement now and then keeps the sender from losing patience.
constexpr uint32_t kAcknowledgeEvery = 32;
constexpr uint64_t kRoundBytes = 1 << 20;
constexpr uint8_t kPageFaultTimer = 1;  // 10 us

}  // namespace

void RnicResponder::start(uint32_t psn) { expected_ = psn & rnic::kPsnMask; }

void RnicResponder::flush() {
  isArriving_ = false;
  readCount_ = 0;
  owed_.reset();
  while (hasReceive()) queuePair_.completeReceive(WcStatus::flushed, nullptr, 0);
}

bool RnicResponder::hasReceive() const {
  return queuePair_.receiveRing().head() != queuePair_.receiveRing().tail();
}

Moved RnicResponder::receive(const Packet& packet, RnicGather& payload) {
  if (!queuePair_.canReceive() || failsThen_) return Moved::all;
  const int32_t distance = psnDistance(packet.psn, expected_);
  if (distance < 0) {
    receiveDuplicate(packet);
    return Moved::all;
  }
  if (distance > 0) {
    // Once: what follows the missing packet comes again anyway (§9.7.5.1.1).
    if (!hasAsked_)
      reply({.kind = Packet::Kind::nak, .syndrome = uint8_t(Nak::sequence), .psn = expected_});
    hasAsked_ = true;
    return Moved::all;
  }
  hasAsked_ = false;
  if (!fitsSequence(packet)) {
    refuse(Nak::invalidRequest);
    return Moved::all;
  }
  switch (packet.kind) {
    case Packet::Kind::send:
      return receiveSend(packet, payload);
    case Packet::Kind::write:
      return receiveWrite(packet, payload);
    default:
      receiveRead(packet);
      return Moved::all;
  }
}

// §9.7.4.1.2: a first packet begins a message, others go on with it, and its length is kept to.
bool RnicResponder::fitsSequence(const Packet& packet) const {
  const bool isFirst = packet.flags & Packet::kFirst;
  if (isFirst == isArriving_) return false;
  if (packet.length > rnic::kLongestMessage) return false;
  if (packet.kind == Packet::Kind::readRequest) return isFirst;
  if (!isFirst && packet.kind != message_.kind) return false;
  const uint64_t length = isFirst ? packet.length : message_.length;
  const uint64_t end = (isFirst ? 0 : arrived_) + packet.payload;
  return (packet.flags & Packet::kLast) ? end == length : end < length;
}

Moved RnicResponder::receiveSend(const Packet& packet, RnicGather& payload) {
  if (!hasReceive()) {
    notReady(false);
    return Moved::all;
  }
  const bool isFirst = packet.flags & Packet::kFirst;
  RnicReceiveRing& ring = queuePair_.receiveRing();
  const uint32_t index = ring.head();
  const rdma::Sge* sges = ring.sges(index);
  RnicGather target;
  uint64_t room = 0;
  for (uint32_t i = 0; i < ring[index].sgeCount; i++) {
    if (sges[i].length == 0) continue;
    RnicRegion* region = queuePair_.nic().memory().find(
        sges[i].lkey, queuePair_.domain(), sges[i].address, sges[i].length, rdma::kLocalWrite);
    if (!region) {
      completeReceive(packet, WcStatus::localProtection);
      refuse(Nak::remoteOperation);
      return Moved::all;
    }
    target.add(*region, sges[i].address - region->address, sges[i].length);
    room += sges[i].length;
  }
  const uint64_t before = isFirst ? 0 : arrived_;
  if (before + packet.payload > room) {
    completeReceive(packet, WcStatus::localLength);
    refuse(Nak::invalidRequest);
    return Moved::all;
  }
  target.skip(before);
  const Moved moved = place(packet, payload, target);
  if (moved != Moved::targetFailed) return moved;
  completeReceive(packet, WcStatus::localProtection);
  refuse(Nak::remoteOperation);
  return Moved::all;
}

Moved RnicResponder::receiveWrite(const Packet& packet, RnicGather& payload) {
  if (!(queuePair_.options().remoteAccess & rdma::kRemoteWrite)) {
    refuse(Nak::invalidRequest);
    return Moved::all;
  }
  const bool isFirst = packet.flags & Packet::kFirst;
  const Packet& message = isFirst ? packet : message_;
  const uint64_t before = isFirst ? 0 : arrived_;
  RnicGather target;
  // §9.7.4.1.5: of a write without data neither key nor address is looked at.
  if (message.length > 0) {
    // The whole message's range at first, so that nothing of one that does not fit is placed.
    RnicRegion* region = queuePair_.nic().memory().find(
        message.rkey, queuePair_.domain(), message.address, message.length, rdma::kRemoteWrite);
    if (!region) {
      refuse(Nak::remoteAccess);
      return Moved::all;
    }
    target.add(*region, message.address + before - region->address, packet.payload);
  }
  if ((packet.flags & Packet::kImmediate) && !hasReceive()) {
    notReady(false);
    return Moved::all;
  }
  const Moved moved = place(packet, payload, target);
  if (moved != Moved::targetFailed) return moved;
  refuse(Nak::remoteAccess);
  return Moved::all;
}

Moved RnicResponder::place(const Packet& packet, RnicGather& payload, RnicGather& target) {
  if (!target.isPresent(queuePair_.nic().memory(), packet.payload)) {
    notReady(true);
    return Moved::all;
  }
  const Moved moved = move(queuePair_.nic().dma(), payload, target, packet.payload);
  if (moved == Moved::all) finish(packet);
  return moved;
}

// The packet's data is where it belongs.
void RnicResponder::finish(const Packet& packet) {
  if (packet.flags & Packet::kFirst) {
    message_ = packet;
    arrived_ = 0;
    isArriving_ = true;
  }
  arrived_ += packet.payload;
  accept(queuePair_.packetsIn(packet.payload));
  if (!(packet.flags & Packet::kLast)) {
    if (++unacknowledged_ >= kAcknowledgeEvery) acknowledge();
    return;
  }
  isArriving_ = false;
  if (packet.kind == Packet::Kind::send || (packet.flags & Packet::kImmediate))
    completeReceive(packet, WcStatus::success);
  acknowledge();
}

void RnicResponder::completeReceive(const Packet& packet, WcStatus status) {
  queuePair_.completeReceive(status, &packet, arrived_);
}

void RnicResponder::receiveRead(const Packet& packet) {
  if (!(queuePair_.options().remoteAccess & rdma::kRemoteRead) ||
      readCount_ >= queuePair_.options().readsAsTarget)
    return refuse(Nak::invalidRequest);
  if (packet.length > 0 &&
      !queuePair_.nic().memory().find(packet.rkey, queuePair_.domain(), packet.address,
                                      packet.length, rdma::kRemoteRead))
    return refuse(Nak::remoteAccess);
  reads_[(firstRead_ + readCount_++) % reads_.size()] = {packet.address, packet.length, 0,
                                                         packet.rkey, packet.psn};
  accept(queuePair_.packetsIn(packet.length));
}

// §9.7.5.1.4: what was done is acknowledged again, and data that was read is read again.
void RnicResponder::receiveDuplicate(const Packet& packet) {
  if (packet.kind != Packet::Kind::readRequest) {
    if (packet.flags & Packet::kLast) acknowledge();
    return;
  }
  // A repeated request is trusted no more than a first one.
  if (!(queuePair_.options().remoteAccess & rdma::kRemoteRead) ||
      packet.length > rnic::kLongestMessage)
    return;
  // Answers from there on come again: those that are still to come are not sent.
  const uint32_t mtu = queuePair_.options().mtu;
  while (readCount_ > 0) {
    Read& last = reads_[(firstRead_ + readCount_ - 1) % reads_.size()];
    const int32_t before = psnDistance(packet.psn, last.psn);
    if (before > static_cast<int32_t>(last.done / mtu)) {
      last.length = std::min(last.length, uint64_t{mtu} * static_cast<uint32_t>(before));
      break;
    }
    readCount_--;
  }
  if (readCount_ == reads_.size()) return;
  reads_[(firstRead_ + readCount_++) % reads_.size()] = {packet.address, packet.length, 0,
                                                         packet.rkey, packet.psn};
}

bool RnicResponder::poll() {
  const uint32_t before = readCount_;
  uint64_t sent = 0;
  while (readCount_ > 0 && sent < kRoundBytes && queuePair_.canReceive() &&
         queuePair_.nic().canTransmit(queuePair_)) {
    const uint32_t count = readCount_;
    const uint64_t done = reads_[firstRead_].done;
    sendResponse();
    if (readCount_ == count && reads_[firstRead_].done == done) break;  // waits for its memory
    sent += queuePair_.nic().longestPacket(queuePair_);
  }
  if (readCount_ == 0 && owed_) {
    const Packet packet = *owed_;
    owed_.reset();
    (void)queuePair_.transmit(packet, nullptr);
    if (failsThen_) queuePair_.fail();
  }
  return sent > 0 || before != readCount_;
}

void RnicResponder::sendResponse() {
  Rnic& nic = queuePair_.nic();
  Read& read = reads_[firstRead_];
  const uint64_t left = read.length - read.done;
  const uint64_t part = std::min(left, nic.longestPacket(queuePair_));
  const uint32_t psn =
      (read.psn + static_cast<uint32_t>(read.done / queuePair_.options().mtu)) & rnic::kPsnMask;
  const Packet packet{.kind = Packet::Kind::readResponse,
                      .psn = psn,
                      .length = read.length,
                      .payload = static_cast<uint32_t>(part)};
  RnicGather source;
  bool isReachable = true;
  if (part > 0) {
    const uint64_t address = read.address + read.done;
    RnicRegion* region =
        nic.memory().find(read.rkey, queuePair_.domain(), address, part, rdma::kRemoteRead);
    isReachable = region != nullptr;
    if (region) source.add(*region, address - region->address, part);
    if (!source.isPresent(nic.memory(), part)) {
      // Asked for again, with all that came after it; not where a refusal is to come after it.
      if (!failsThen_) {
        readCount_ = 0;
        owed_.reset();
        reply({.kind = Packet::Kind::rnrNak,
               .flags = Packet::kPageFault,
               .syndrome = kPageFaultTimer,
               .psn = psn});
      }
      return;
    }
  }
  // Ours is done before the other side has it: that may ask for more at once.
  const bool isLast = part == left;
  read.done += part;
  if (isLast) {
    firstRead_ = (firstRead_ + 1) % reads_.size();
    readCount_--;
  }
  if (isReachable && queuePair_.transmit(packet, &source) != Moved::sourceFailed) return;
  readCount_ = 0;
  owed_.reset();
  expected_ = psn;  // this is where it ended
  refuse(Nak::remoteAccess);
}

void RnicResponder::accept(uint32_t packets) { expected_ = (expected_ + packets) & rnic::kPsnMask; }

void RnicResponder::acknowledge() {
  unacknowledged_ = 0;
  reply({.kind = Packet::Kind::acknowledge, .psn = (expected_ - 1) & rnic::kPsnMask});
}

void RnicResponder::notReady(bool isPageFault) {
  hasAsked_ = true;
  reply({.kind = Packet::Kind::rnrNak,
         .flags = isPageFault ? uint8_t{Packet::kPageFault} : uint8_t{0},
         .syndrome = isPageFault ? kPageFaultTimer : queuePair_.options().minRnrTimer,
         .psn = expected_});
}

// A request that this side cannot carry out ends the connection, at both ends (§9.7.5.2.4).
void RnicResponder::refuse(Nak nak) {
  failsThen_ = true;
  const auto event = nak == Nak::remoteAccess ? rnic::EventType::queuePairAccess
                                              : rnic::EventType::queuePairRequest;
  if (nak != Nak::remoteOperation) queuePair_.nic().report(queuePair_, event);
  reply({.kind = Packet::Kind::nak, .syndrome = static_cast<uint8_t>(nak), .psn = expected_});
  if (!owed_) queuePair_.fail();
}

// Answers keep the order of the requests: data of reads before all that came after them.
void RnicResponder::reply(const Packet& packet) {
  if (readCount_ > 0)
    owed_ = packet;
  else
    (void)queuePair_.transmit(packet, nullptr);
}

}  // namespace p2pmem::loopback
