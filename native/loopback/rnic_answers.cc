// What the requester makes of answers: acknowledgements, negative ones, and data that was read.
#include "loopback/rnic.h"
#include "loopback/rnic_queue_pair.h"
#include "loopback/rnic_requester.h"

namespace p2pmem::loopback {

using rnic::offsetOf;
using rnic::Packet;
using rnic::WcStatus;

namespace {

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

}  // namespace

void RnicRequester::receive(const Packet& packet) {
  if (!queuePair_.canSend()) return;
  // What an old packet says is known already; what none of ours can have caused is nobody's word.
  if (offsetOf(packet.psn, unacked_) >= offsetOf(sentPsn_, unacked_)) return;
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
  while (packets > 0 && oldest() != sentEnd_) {
    const SendEntry& entry = queuePair_.sendRing()[oldest()];
    if (entry.record.opcode == rdma::kRead) {
      skipAcknowledged();
      if (oldest() != next_) retry();
      return;
    }
    const uint32_t left = offsetOf(entry.firstPsn + queuePair_.packetsIn(entry.length), unacked_);
    if (left > packets) break;
    complete();
    packets -= left;
  }
  if (packets > 0) progress((unacked_ + packets) & rnic::kPsnMask);
  skipAcknowledged();
}

// What is being sent again may have arrived the first time: nothing of it is sent once more.
void RnicRequester::skipAcknowledged() {
  if (offsetOf(sentPsn_, psn_) <= offsetOf(sentPsn_, unacked_)) return;
  const uint32_t index = oldest();
  const uint32_t packets =
      index == sentEnd_ ? 0 : offsetOf(unacked_, queuePair_.sendRing()[index].firstPsn);
  next_ = index;
  offset_ = uint64_t{packets} * queuePair_.options().mtu;
  psn_ = unacked_;
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

}  // namespace p2pmem::loopback
