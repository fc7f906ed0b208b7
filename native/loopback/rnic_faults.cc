// What befalls the NIC on demand, and its packets.
#include "loopback/rnic.h"
#include "loopback/rnic_context.h"
#include "loopback/rnic_queue_pair.h"

namespace p2pmem::loopback {

using rnic::EventType;
using rnic::Packet;

Status Rnic::inject(const Fault& fault) {
  using Effect = Fault::Effect;
  if (fault.on == Fault::Trigger::now) {
    if (fault.effect == Effect::linkDown || fault.effect == Effect::linkUp) {
      setLink(fault.effect == Effect::linkDown);
      return {};
    }
    Status status = Endpoint::inject(fault);
    if (status.ok() && (fault.effect == Effect::remove || fault.effect == Effect::vanish))
      abandon();
    return status;
  }
  return addFault(fault);
}

Status Rnic::addFault(const Fault& fault) {
  using Effect = Fault::Effect;
  const bool fits = fault.on == Fault::Trigger::packet &&
                    (fault.effect == Effect::lose || fault.effect == Effect::corrupt ||
                     fault.effect == Effect::delay);
  if (!fits)
    return Error{.code = "BAD_MACHINE",
                 .message = name_ +
                            " is a NIC: its packets can be lost, damaged or late, and its "
                            "link can go down, now",
                 .device = address};
  faults_.add(fault);
  return {};
}

void Rnic::clearFaults() {
  Endpoint::clearFaults();
  faults_.clear();
  setLink(false);
}

// It does not answer its driver any more, which flushes what was posted.
void Rnic::abandon() {
  isAbandoned_ = true;
  config.set(pci::kCommand, 2, config.read(pci::kCommand, 2) & ~pci::kCommandBusMaster);
  for (RnicContext* context : contexts_) {
    context->abandon();
    context->report({.type = static_cast<uint32_t>(EventType::deviceFatal)});
  }
  for (RnicQueuePair* queuePair : queuePairs_) queuePair->fail();
}

void Rnic::hold(bool isRemote, const Packet& packet, RnicGather* payload, const Fault& fault) {
  RnicFaults::Late late{.due = now() + std::chrono::milliseconds(fault.delay),
                        .isRemote = isRemote,
                        .packet = packet,
                        .payload = std::vector<uint8_t>(packet.payload)};
  RnicGather copy;
  copy.addPlain(late.payload.data(), late.payload.size());
  if (packet.payload > 0 && move(requester_, *payload, copy, packet.payload) != Moved::all) return;
  faults_.hold(std::move(late));
}

bool Rnic::deliverLate() {
  auto late = faults_.takeDue(now());
  if (!late) return false;
  RnicGather payload;
  payload.addPlain(late->payload.data(), late->payload.size());
  (void)send(late->isRemote, late->packet, &payload);
  return true;
}

}  // namespace p2pmem::loopback
