// How requests and completions travel through the fabric, and what that adds up to (design:
// "Routing"). Guarded by the machine's lock, except for the counters of CPU accesses.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "loopback/configuration.h"
#include "loopback/endpoint.h"
#include "loopback/fabric.h"

namespace p2pmem::loopback {

/// The way between an initiator and a target, with what went along it. The data path adds to one
/// number per transfer; Router spreads them over the links when somebody asks.
struct Route {
  struct Hop {
    size_t link;
    bool up;
  };
  std::vector<Hop> writeHops;  // of the data of writes
  std::vector<Hop> readHops;   // of the completions of reads
  bool writeCrossesRoot = false;
  bool readCrossesRoot = false;
  bool hostMemory = false;

  uint64_t writeBytes = 0;
  uint64_t readBytes = 0;
  uint64_t writeControlBytes = 0;
  uint64_t readControlBytes = 0;
};

struct LinkTraffic {
  std::string address;
  uint64_t up = 0;
  uint64_t down = 0;
  uint64_t upControl = 0;
  uint64_t downControl = 0;
};

struct Traffic {
  uint64_t hostMemory = 0;
  uint64_t hostControl = 0;
  uint64_t rootComplex = 0;
  std::vector<LinkTraffic> links;
};

class Router {
 public:
  /// Where a request goes by its address alone. It holds for all addresses in [first, last].
  struct Decision {
    enum class Kind { direct, root, unsupported } kind;
    Endpoint* target = nullptr;  // of a direct request
    uint8_t* data = nullptr;     // the byte at `first` of a direct request
    uint64_t first = 0;
    uint64_t last = ~0ull;
  };

  explicit Router(const Fabric& fabric) : fabric_(fabric) {}

  /// Once the fabric is complete, before the first request.
  void start(Forwarding forwarding);

  /// Whether the root complex passes a request for a BAR down again.
  bool forwards(bool write) const {
    return forwarding_ == Forwarding::all || (write && forwarding_ == Forwarding::writes);
  }

  Decision decide(const Endpoint& initiator, uint64_t address) const;

  /// `target` null: host memory. `viaRoot`: the request climbed to the root complex.
  Route* route(const Endpoint& initiator, const Endpoint* target, bool viaRoot);

  /// An access of the CPU to a BAR; the other side of the copy is host memory. Any thread.
  void countCpuAccess(const PciFunction& target, uint64_t bytes, bool write);

  Traffic traffic() const;
  void reset();

 private:
  struct CpuCounter {
    std::atomic<uint64_t> written{0};
    std::atomic<uint64_t> read{0};
  };

  Route make(const Endpoint& initiator, const Endpoint* target, bool viaRoot) const;

  const Fabric& fabric_;
  Forwarding forwarding_ = Forwarding::all;
  std::vector<Route> routes_;  // by initiator, target, viaRoot
  std::vector<bool> known_;
  std::deque<CpuCounter> cpu_;  // by target
};

}  // namespace p2pmem::loopback
