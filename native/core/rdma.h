// An RDMA device as its users see it, whoever makes it: the kernel's drivers by way of libibverbs
// (native/verbs), or the loopback machine's NIC with a driver of its own (native/loopback). The NIC
// belongs to the kernel, or what stands for it: DMA addresses stay hidden behind keys.
//
// Lifetime: each object holds the ones it is made of (a memory region its domain, that its device),
// so that letting go may come in any order. A region holds its Memory: it is deregistered, hence no
// longer reached by the device, before that memory can go.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/async_events.h"
#include "core/memory.h"
#include "core/rdma_ring.h"
#include "core/status.h"
#include "core/weak_table.h"

namespace p2pmem::rdma {

using Gid = std::array<uint8_t, 16>;

/// What on-demand paging can do on RC queue pairs; nothing where `supported` is false.
struct OnDemandPaging {
  bool supported = false;
  bool implicit = false;
  bool send = false;
  bool receive = false;
  bool write = false;
  bool read = false;
};

struct DeviceAttributes {
  std::string firmware;
  uint64_t nodeGuid = 0;
  uint32_t vendorId = 0;
  uint32_t partId = 0;
  uint64_t maxRegionBytes = 0;
  uint32_t maxQueuePairs = 0;
  uint32_t maxQueueEntries = 0;
  uint32_t maxSge = 0;
  uint32_t maxCompletionQueues = 0;
  uint32_t maxCompletionEntries = 0;
  uint32_t maxRegions = 0;
  uint32_t maxReadsAsTarget = 0;      // of one queue pair
  uint32_t maxReadsAsInitiator = 0;   // of one queue pair
  uint64_t deviceMemoryBytes = 0;     // the most there is of its own memory; 0: none
  bool deviceMemoryForPeers = false;  // other devices can be let at it: allocateMemory()
  uint8_t ports = 0;
  OnDemandPaging onDemandPaging;
};

struct PortAttributes {
  uint8_t state = 0;      // ibv_port_state: 1 down, 2 initialising, 3 armed, 4 active
  bool ethernet = false;  // else InfiniBand
  uint32_t mtu = 0;       // active, bytes
  uint16_t lid = 0;
  double gigabits = 0;  // active speed by width, a second; 0 where not known
};

struct GidEntry {
  uint32_t index = 0;
  Gid gid{};
  enum class Type { infiniband, rocev1, rocev2 } type = Type::infiniband;
};

/// What one side must know of the other's queue pair.
struct QueuePairAddress {
  uint32_t number = 0;
  uint32_t psn = 0;  // of its first packet, 24 bits
  uint16_t lid = 0;
  Gid gid{};
};

/// How RESET becomes RTS, in the steps of InfiniBand 1.4 §10.3.1; those of one side alone.
struct ConnectionOptions {
  uint8_t port = 1;
  uint32_t gidIndex = 0;
  uint32_t mtu = 1024;        // bytes
  uint32_t remoteAccess = 0;  // kRemoteWrite, kRemoteRead
  uint32_t psn = 0;           // of this side
  uint8_t readsAsTarget = 1;
  uint8_t readsAsInitiator = 1;
  uint8_t timeout = 14;  // 4.096 us x 2^timeout until a retry; 0: never
  uint8_t retries = 7;
  uint8_t rnrRetries = 7;  // 7: without an end
  uint8_t minRnrTimer = 12;
  uint8_t serviceLevel = 0;
  uint8_t trafficClass = 0;
  uint8_t hopLimit = 64;
};

enum class QueuePairState { reset, init, readyToReceive, readyToSend, drained, sendError, error };

class MemoryRegion {
 public:
  virtual ~MemoryRegion() = default;
  virtual uint32_t lkey() const = 0;
  virtual uint32_t rkey() const = 0;
  /// What its first byte is called in Sges and in remote requests.
  virtual uint64_t address() const = 0;
  virtual uint64_t length() const = 0;
  /// Its keys mean nothing from when this returns: the device reaches the memory no more.
  /// Idempotent. Errors: IO.
  virtual Status deregister() = 0;
};

class CompletionQueue {
 public:
  virtual ~CompletionQueue() = default;
  virtual uint32_t entries() const = 0;
  /// Fills up to `room` records; how many, or an errno, negated. By one thread at a time.
  virtual int poll(CompletionRecord* records, uint32_t room) = 0;
  /// Readable once a completion (or a solicited one) has come after arm(); -1 without a channel.
  virtual int eventFd() const = 0;
  /// Asks for one event. A completion that came before asks for a poll() after this. Errors: IO.
  virtual Status arm(bool solicitedOnly) = 0;
  /// Takes the events that made eventFd() readable.
  virtual void takeEvents() = 0;
  /// Nothing is polled after this. Errors: IN_USE while a queue pair completes here.
  virtual Status close() = 0;
};

class QueuePair {
 public:
  virtual ~QueuePair() = default;
  virtual uint32_t number() const = 0;
  virtual uint32_t maxInline() const = 0;

  /// RESET to INIT. Errors: NO_PORT, IO.
  virtual Status initialize(const ConnectionOptions& options) = 0;
  /// INIT to RTR to RTS. Errors: PORT_DOWN, NO_GID, IO.
  virtual Status connect(const ConnectionOptions& options, const QueuePairAddress& remote) = 0;
  /// What was posted is flushed, with status 5 (IBV_WC_WR_FLUSH_ERR).
  virtual Status toError() = 0;
  virtual Result<QueuePairState> state() const = 0;

  /// Posts `count` records of `ring`, which has `mask` + 1 of them, from `first` on (counted
  /// without an end, wrapped by `mask`). How many were taken, or the errno, negated, where the
  /// first was refused. By one thread at a time.
  virtual int postSends(const uint8_t* ring, uint32_t mask, uint32_t first, uint32_t count) = 0;
  virtual int postReceives(const uint8_t* ring, uint32_t mask, uint32_t first, uint32_t count) = 0;

  /// Nothing completes after this. Idempotent.
  virtual Status close() = 0;
};

struct QueuePairOptions {
  uint32_t sends = 0;     // entries
  uint32_t receives = 0;  // entries
  uint32_t sendSge = 1;
  uint32_t receiveSge = 1;
  uint32_t inlineBytes = 0;
};

class ProtectionDomain {
 public:
  virtual ~ProtectionDomain() = default;

  /// Pins [offset, offset + length) of host memory, or, with kOnDemand in `access`, lets the device
  /// fault its pages in. Errors: NOT_REGISTERED (the kernel cannot pin that memory), NO_ODP,
  /// REGION_TOO_LARGE, MEMLOCK, NO_MEMORY, IO.
  virtual Result<std::shared_ptr<MemoryRegion>> registerHost(std::shared_ptr<Memory> memory,
                                                             uint64_t offset, uint64_t length,
                                                             uint32_t access) = 0;
  /// A part of a dma-buf; `keep` is held with it. `address`: what its first byte is to be called,
  /// equal to `offset` modulo the page size. Errors: NO_DMABUF (the device's driver imports none),
  /// BAD_DMABUF (not a dma-buf, or not one that this device reaches), REGION_TOO_LARGE, IO.
  virtual Result<std::shared_ptr<MemoryRegion>> registerDmabuf(int fd, uint64_t offset,
                                                               uint64_t length, uint64_t address,
                                                               uint32_t access,
                                                               std::shared_ptr<Memory> keep) = 0;
  /// Errors: RDMA_LIMIT (more than the device has), IO.
  virtual Result<std::shared_ptr<QueuePair>> createQueuePair(
      std::shared_ptr<CompletionQueue> sends, std::shared_ptr<CompletionQueue> receives,
      const QueuePairOptions& options) = 0;
};

class RdmaDevice {
 public:
  virtual ~RdmaDevice() = default;

  const std::string& name() const { return name_; }
  /// Errors: IO.
  virtual Result<DeviceAttributes> attributes() const = 0;
  /// Errors: NO_PORT, IO.
  virtual Result<PortAttributes> port(uint8_t number) const = 0;
  virtual Result<std::vector<GidEntry>> gids(uint8_t port) const = 0;

  virtual Result<std::shared_ptr<ProtectionDomain>> allocateDomain() = 0;
  /// `channel`: it can be waited for. Errors: RDMA_LIMIT, IO.
  virtual Result<std::shared_ptr<CompletionQueue>> createCompletionQueue(uint32_t entries,
                                                                         bool channel) = 0;

  /// Memory of the device itself, in whole pages: registered like host memory, and within reach of
  /// other devices as peer memory. Given back with its last user. Errors: NO_ROOM, DEVICE_GONE;
  /// UNSUPPORTED, where other devices cannot be let at it (deviceMemoryForPeers).
  virtual Result<std::shared_ptr<Memory>> allocateMemory(uint64_t length) = 0;

  /// Readable while takeEvent() has one to give. Both are for AsyncListener, which has all hear.
  virtual int eventFd() const = 0;
  virtual std::optional<AsyncEvent> takeEvent() = 0;
  AsyncListeners& listeners() { return listeners_; }

 protected:
  explicit RdmaDevice(std::string name) : name_(std::move(name)) {}

 private:
  std::string name_;
  AsyncListeners listeners_;
};

/// By which other threads' environments open the same device.
using RdmaDeviceTable = WeakTable<RdmaDevice>;

}  // namespace p2pmem::rdma
