// A RoCE NIC with two ports, on its kernel driver: what it has in common for all its users. Its
// queue pairs talk to each other over the wire between the ports, which moves bytes once, from
// where they lie to where they belong, or to those of a machine in another process (rnic_wire.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/rdma.h"
#include "loopback/configuration.h"
#include "loopback/endpoint.h"
#include "loopback/machine_context.h"
#include "loopback/requester.h"
#include "loopback/rnic_counters.h"
#include "loopback/rnic_faults.h"
#include "loopback/rnic_gather.h"
#include "loopback/rnic_memory.h"
#include "loopback/rnic_spec.h"
#include "loopback/rnic_store.h"
#include "loopback/rnic_wire.h"

namespace p2pmem::loopback {

class RnicCompletionQueue;
class RnicContext;
class RnicQueuePair;

class Rnic final : public Endpoint {
 public:
  using Clock = std::chrono::steady_clock;

  static constexpr uint32_t kMemoryBar = 2;
  static constexpr uint8_t kPorts = 2;
  static constexpr uint32_t kMtu = 4096;
  static constexpr uint32_t kMaxQueuePairs = 1024;

  /// `number`: which of the machine's NICs.
  Rnic(const RnicConfiguration& configuration, uint32_t number, uint32_t iovaBits,
       MachineContext context);

  /// Its end of the wire. Errors: IO.
  Status openWire() { return wire_.open(); }
  /// Of its packets. Errors: BAD_MACHINE.
  Status addFault(const Fault& fault);
  /// The kernel's driver takes it, unless it is VFIO's or nobody's.
  void probe();
  bool hasKernelDriver() const;

  bool isActive() const override { return !queuePairs_.empty() || wire_.exists(); }
  /// Of a connection there are two ends, mostly on this machine.
  bool driverYields() const override { return true; }
  bool poll() override;
  void reset() override;
  Status inject(const Fault& fault) override;
  void clearFaults() override;

  // What the driver asks for. All but name() with the machine's lock held.

  const std::string& name() const { return name_; }
  /// Errors: DEVICE_GONE, NO_MEMORY.
  Status open();
  void addContext(RnicContext& context) { contexts_.push_back(&context); }
  void removeContext(RnicContext& context) { std::erase(contexts_, &context); }
  uint32_t nextDomain() { return ++domains_; }
  /// Errors: RDMA_LIMIT.
  Status addQueuePair(RnicQueuePair& queuePair);
  void removeQueuePair(RnicQueuePair& queuePair);
  std::shared_ptr<RnicStore> store() const { return store_; }

  rdma::DeviceAttributes attributes() const;
  /// Errors: NO_PORT.
  Status checkPort(uint8_t number) const;
  rdma::PortAttributes port(uint8_t number) const;
  std::vector<rdma::GidEntry> gids(uint8_t port) const;
  bool isUp(uint8_t port) const;
  /// No port of this NIC has it.
  bool isElsewhere(const rdma::Gid& gid) const;

  // What its queue pairs ask for.

  RnicMemory& memory() { return memory_; }
  Requester& dma() { return requester_; }
  RnicCounters& counters() { return counters_; }
  /// The time, read once in a round.
  Clock::time_point now() {
    if (!isTimeKnown_) now_ = Clock::now();
    isTimeKnown_ = true;
    return now_;
  }
  /// Bytes of one packet; whole MTUs but at a message's end.
  uint64_t longestPacket(const RnicQueuePair& queuePair) const;
  bool canTransmit(const RnicQueuePair& queuePair) const;
  Moved transmit(RnicQueuePair& from, const rnic::Packet& packet, RnicGather* payload);
  void report(RnicQueuePair& queuePair, rnic::EventType type);
  void reportOverrun(RnicCompletionQueue& queue);
  /// It fetched a request, or wrote a completion: in host memory.
  void countEntry(uint64_t bytes) { host_->readControlBytes += bytes; }
  void countCompletion(bool interrupts) {
    host_->writeControlBytes += sizeof(rdma::CompletionRecord);
    if (interrupts) requester_.countInterrupt();
  }

 private:
  RnicQueuePair* find(uint32_t number) const;
  Moved send(bool isRemote, const rnic::Packet& packet, RnicGather* payload);
  Moved deliver(bool isRemote, const rnic::Packet& packet, RnicGather& payload);
  void hold(bool isRemote, const rnic::Packet& packet, RnicGather* payload, const Fault& fault);
  bool deliverLate();
  bool pollWire();
  void setLink(bool isDown);
  void reportPorts(bool areUp);
  void failOverrun();
  void abandon();
  uint64_t portGuid(uint8_t port) const;

  uint32_t number_;
  std::string name_;
  MachineContext context_;
  RnicCounters counters_;
  RnicFaults faults_;
  RnicWire wire_;
  Requester requester_;
  std::shared_ptr<IommuDomain> kernelDomain_;
  RnicMemory memory_;
  std::shared_ptr<RnicStore> store_;
  Route* host_ = nullptr;

  std::vector<RnicContext*> contexts_;
  std::vector<RnicQueuePair*> queuePairs_;
  std::vector<RnicQueuePair*> byNumber_;  // by the low bits of it
  uint32_t serial_ = 0;                   // its high bits
  uint32_t domains_ = 0;
  bool isLinkDown_ = false;
  bool wasWireUp_ = false;
  bool isOverrun_ = false;
  bool isAbandoned_ = false;  // until the driver has reset it
  bool isTimeKnown_ = false;
  Clock::time_point now_;
};

}  // namespace p2pmem::loopback
