// MSI-X of a function (PCI 3.0 §6.8.2): its table and its pending bits. Under VFIO the kernel owns
// both; here it is setInterrupt() that does what the kernel does with them. With the machine's lock
// held.
#pragma once

#include <cstdint>
#include <vector>

#include "core/unique_fd.h"

namespace p2pmem::loopback {

class Msix {
 public:
  /// `tableAt` and `pendingAt`: offsets in the BAR that holds both.
  void add(uint32_t vectors, uint64_t tableAt, uint64_t pendingAt);

  uint32_t vectors() const { return static_cast<uint32_t>(entries_.size()); }

  /// Aligned 32-bit accesses; the pending bits are read-only.
  bool holds(uint64_t offset) const { return inTable(offset) || inPending(offset); }
  uint32_t read(uint64_t offset) const;
  void write(uint64_t offset, uint32_t value);

  /// Has messages of a vector signal an eventfd, and unmasks it; without one, masks it.
  void route(uint32_t vector, UniqueFd fd);
  bool isRouted() const;
  /// As after power-on, and what was routed set up again, as the kernel does it.
  void reset();

  /// A message is to be sent: true if it was. Masked, it is pending.
  bool signal(uint32_t vector, bool isFunctionMasked);
  /// Sends what is pending and masked no more; how many.
  uint32_t sendPending(bool isFunctionMasked);

 private:
  struct Entry {
    uint32_t dwords[4] = {0, 0, 0, kMasked};  // message address, data, vector control
    bool isPending = false;
    UniqueFd fd;

    bool isMasked() const { return dwords[3] & kMasked; }
  };

  static constexpr uint32_t kMasked = 1;

  bool inTable(uint64_t offset) const { return offset - tableAt_ < entries_.size() * 16; }
  bool inPending(uint64_t offset) const {
    return offset - pendingAt_ < (entries_.size() + 63) / 64 * 8;
  }
  void setUp(Entry& entry, uint32_t vector);

  uint64_t tableAt_ = 0;
  uint64_t pendingAt_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace p2pmem::loopback
