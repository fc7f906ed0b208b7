#include "loopback/rnic.h"

#include <algorithm>

#include "loopback/rnic_completion_queue.h"
#include "loopback/rnic_context.h"
#include "loopback/rnic_queue_pair.h"

namespace p2pmem::loopback {

using rnic::EventType;
using rnic::Packet;

namespace {

constexpr PciIdentity kIdentity{0x15ad, 0x0820, pci::kClassNetwork};
constexpr uint64_t kRegisterBytes = 64 << 10;  // BAR 0: the driver's, none of it modelled
constexpr const char* kVfioDriver = "vfio-pci";
// What one step moves between queue pairs of this machine.
constexpr uint64_t kLocalPacket = 256 << 10;
constexpr uint32_t kSlotMask = Rnic::kMaxQueuePairs - 1;
constexpr int kSlotBits = 10;
// The kernel's DMA API knows no limit but memory.
constexpr uint32_t kMappings = 1u << 31;

}  // namespace

Rnic::Rnic(const RnicConfiguration& configuration, uint32_t number, uint32_t iovaBits,
           MachineContext context)
    : Endpoint(kIdentity),
      number_(number),
      name_("rnic" + std::to_string(number)),
      context_(context),
      wire_(configuration.wire),
      requester_(*this, context.router, context.epoch),
      kernelDomain_(std::make_shared<IommuDomain>(iovaBits, kMappings)),
      memory_(*this, context, counters_),
      store_(std::make_shared<RnicStore>(configuration.memorySize)),
      byNumber_(kMaxQueuePairs) {
  bars[0] = {.size = kRegisterBytes};
  if (configuration.memorySize > 0)
    bars[kMemoryBar] = {.size = configuration.memorySize,
                        .prefetchable = true,
                        .memorySize = configuration.memorySize};
}

bool Rnic::hasKernelDriver() const { return !driver.empty() && driver != kVfioDriver; }

void Rnic::probe() {
  host_ = context_.router.route(*this, nullptr, true);
  if (!hasKernelDriver()) return;
  domain = kernelDomain_;
  config.set(pci::kCommand, 2, pci::kCommandMemory | pci::kCommandBusMaster);
  context_.epoch++;
}

void Rnic::reset() {
  Endpoint::reset();
  internal[0] = {};
  if (host_) probe();
}

Status Rnic::open() {
  if (removed)
    return Error{.code = "DEVICE_GONE", .message = name_ + " was removed", .device = address};
  if (isAbandoned_) reset();
  isAbandoned_ = false;
  if (Status status = prepare(); !status.ok()) return status;
  if (const Bar& bar = bars[kMemoryBar]; bar.memory) {
    internal[0] = {bar.address, bar.size, bar.memory->data()};
    context_.epoch++;
  }
  return {};
}

Status Rnic::addQueuePair(RnicQueuePair& queuePair) {
  const auto free = std::find(byNumber_.begin(), byNumber_.end(), nullptr);
  if (free == byNumber_.end())
    return Error{.code = "RDMA_LIMIT",
                 .message = name_ + " has " + std::to_string(kMaxQueuePairs) +
                            " queue pairs, and all are in use",
                 .device = address};
  *free = &queuePair;
  const auto slot = static_cast<uint32_t>(free - byNumber_.begin());
  // A number that was in use does not soon mean another one: old packets find nobody.
  serial_ = serial_ % (rnic::kPsnMask >> kSlotBits) + 1;
  queuePair.open(serial_ << kSlotBits | slot);
  queuePairs_.push_back(&queuePair);
  return {};
}

void Rnic::removeQueuePair(RnicQueuePair& queuePair) {
  byNumber_[queuePair.number() & kSlotMask] = nullptr;
  std::erase(queuePairs_, &queuePair);
}

RnicQueuePair* Rnic::find(uint32_t number) const {
  RnicQueuePair* found = byNumber_[number & kSlotMask];
  return found && found->number() == number ? found : nullptr;
}

rdma::DeviceAttributes Rnic::attributes() const {
  return {.firmware = "loopback",
          .nodeGuid = portGuid(0),
          .vendorId = kIdentity.vendor,
          .partId = kIdentity.device,
          .maxRegionBytes = RnicMemory::kMaxRegionBytes,
          .maxQueuePairs = kMaxQueuePairs,
          .maxQueueEntries = RnicContext::kMaxEntries,
          .maxSge = RnicGather::kMaxPieces,
          .maxCompletionQueues = RnicContext::kMaxCompletionQueues,
          .maxCompletionEntries = RnicContext::kMaxEntries,
          .maxRegions = RnicMemory::kMaxRegions,
          .maxReadsAsTarget = RnicQueuePair::kMaxReads,
          .maxReadsAsInitiator = RnicQueuePair::kMaxReads,
          .deviceMemoryBytes = bars[kMemoryBar].memorySize,
          .deviceMemoryForPeers = true,
          .ports = kPorts,
          .onDemandPaging = {.supported = true,
                             .implicit = false,
                             .send = true,
                             .receive = true,
                             .write = true,
                             .read = true}};
}

uint64_t Rnic::longestPacket(const RnicQueuePair& queuePair) const {
  return queuePair.isRemote() ? queuePair.options().mtu : kLocalPacket;
}

bool Rnic::canTransmit(const RnicQueuePair& queuePair) const {
  return !queuePair.isRemote() || wire_.hasRoom();
}

Moved Rnic::transmit(RnicQueuePair& from, const Packet& packet, RnicGather* payload) {
  if (!faults_.empty()) {
    if (const auto fault = faults_.match()) {
      Packet damaged = packet;
      damaged.flags |= Packet::kCorrupt;
      switch (fault->effect) {
        case Fault::Effect::lose:
          counters_.lostPackets++;
          return Moved::all;
        case Fault::Effect::corrupt:
          return send(from.isRemote(), damaged, payload);
        default:
          hold(from.isRemote(), packet, payload, *fault);
          return Moved::all;
      }
    }
  }
  return send(from.isRemote(), packet, payload);
}

Moved Rnic::send(bool isRemote, const Packet& packet, RnicGather* payload) {
  // A peer that asks and never takes the answers: they are lost, and asked for again.
  if (isLinkDown_ || (isRemote && (!wire_.isUp() || wire_.isFull()))) {
    counters_.lostPackets++;
    return Moved::all;
  }
  if (isRemote) return wire_.send(requester_, packet, payload);
  RnicGather nothing;
  return deliver(false, packet, payload ? *payload : nothing);
}

Moved Rnic::deliver(bool isRemote, const Packet& packet, RnicGather& payload) {
  if (packet.flags & Packet::kCorrupt) {
    counters_.damagedPackets++;
    return Moved::all;
  }
  RnicQueuePair* queuePair = find(packet.destination);
  if (!queuePair || queuePair->isRemote() != isRemote ||
      queuePair->remote().number != packet.source) {
    counters_.lostPackets++;
    return Moved::all;
  }
  switch (packet.kind) {
    case Packet::Kind::send:
    case Packet::Kind::write:
    case Packet::Kind::readRequest:
      return queuePair->responder().receive(packet, payload);
    case Packet::Kind::readResponse:
      return queuePair->requester().receiveResponse(packet, payload);
    default:
      queuePair->requester().receive(packet);
      return Moved::all;
  }
}

bool Rnic::poll() {
  isTimeKnown_ = false;
  bool worked = memory_.serveFaults();
  if (wire_.exists() && !removed) worked |= pollWire();
  if (faults_.holds()) worked |= deliverLate();
  for (RnicQueuePair* queuePair : queuePairs_) worked |= queuePair->poll();
  if (isOverrun_) failOverrun();
  return worked;
}

bool Rnic::pollWire() {
  const bool worked = wire_.poll(now(), [this](const Packet& packet, uint8_t* data) {
    RnicGather payload;
    payload.addPlain(data, packet.payload);
    if (isLinkDown_)
      counters_.lostPackets++;
    else
      (void)deliver(true, packet, payload);
  });
  if (wire_.isUp() != wasWireUp_) {
    wasWireUp_ = wire_.isUp();
    if (!isLinkDown_) reportPorts(wasWireUp_);
  }
  return worked;
}

void Rnic::report(RnicQueuePair& queuePair, EventType type) {
  queuePair.context().report(
      {.type = static_cast<uint32_t>(type), .queuePair = queuePair.number()});
}

void Rnic::reportOverrun(RnicCompletionQueue& queue) {
  queue.context().report({.type = static_cast<uint32_t>(EventType::completionQueue)});
  isOverrun_ = true;
}

// What completes in a queue that was overrun cannot go on (§11.6.3.2).
void Rnic::failOverrun() {
  isOverrun_ = false;
  for (RnicQueuePair* queuePair : queuePairs_) {
    if (!queuePair->isOverrun() || queuePair->isFailed()) continue;
    report(*queuePair, EventType::queuePairFatal);
    queuePair->fail();
  }
}

}  // namespace p2pmem::loopback
