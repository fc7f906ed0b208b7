// The DMA engine of an endpoint: turns bus addresses into memory, as routing and the IOMMU allow,
// and accounts for what moves. Used with the machine's lock held.
#pragma once

#include <array>
#include <cstdint>

#include "loopback/router.h"

namespace p2pmem::loopback {

/// A contiguous piece of what a request addresses. `data` null: the request is dropped.
struct Span {
  uint8_t* data = nullptr;
  uint64_t length = 0;
  Route* route = nullptr;
};

class Requester {
 public:
  /// `epoch` changes whenever a mapping, a decode bit or a window changes.
  Requester(Endpoint& self, Router& router, const uint64_t& epoch);

  /// What is at `address`, up to `length` bytes of it, one at least; the rest is for the next call.
  /// A refused request is recorded as a fault of the domain. `write`: this device writes.
  Span resolve(uint64_t address, uint64_t length, bool write) {
    for (const Window& window : windows_) {
      const uint64_t offset = address - window.base;
      if (offset >= window.length || window.epoch != epoch_ ||
          !(write ? window.access.write : window.access.read))
        continue;
      const uint64_t room = window.length - offset;
      return {window.data + offset, length < room ? length : room, window.route};
    }
    return resolveSlowly(address, length, write);
  }

  /// For queue entries, which never straddle a page: the memory at `address`, null if dropped.
  uint8_t* control(uint64_t address, uint32_t length, bool write) {
    const Span span = resolve(address, length, write);
    if (!span.data) return nullptr;
    (write ? span.route->writeControlBytes : span.route->readControlBytes) += length;
    return span.data;
  }

  /// An interrupt message: a posted write that ends at the interrupt controller.
  void countInterrupt();

 private:
  /// A range that was resolved lately: this device's translation cache.
  struct Window {
    uint64_t base = 0;
    uint64_t length = 0;
    uint64_t epoch = 0;
    uint8_t* data = nullptr;
    Route* route = nullptr;
    Access access = {false, false};
  };

  Span resolveSlowly(uint64_t address, uint64_t length, bool write);
  Span refuse(uint64_t address, uint64_t length, bool write, const char* reason);
  Span answerNothing(uint64_t address, uint64_t length, bool write);
  void keepOffInternal(uint64_t address, Router::Decision& decision) const;
  void remember(const Window& window);

  Endpoint& self_;
  Router& router_;
  const uint64_t& epoch_;
  Route internal_;                  // to memory of its own: crosses no link
  Route nowhere_;                   // of reads that no device answered: nobody's payload
  std::array<uint8_t, 4096> ones_;  // what such reads return; nothing is written here
  std::array<Window, 6> windows_;
  size_t next_ = 0;
};

}  // namespace p2pmem::loopback
