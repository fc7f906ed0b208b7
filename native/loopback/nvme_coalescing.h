// Interrupt coalescing (NVMe 1.4 §5.21.1.8, §7.5.5): completions of I/O queues that wait for more
// of their vector, up to a number of them or for a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace p2pmem::loopback {

class NvmeCoalescing {
 public:
  using Clock = std::chrono::steady_clock;

  explicit NvmeCoalescing(uint32_t vectors) : vectors_(vectors) {}

  /// That many completions are new for a vector. True: it is to be interrupted now, at `least` of
  /// them; else it waits for `time` at most.
  bool add(uint16_t vector, uint32_t entries, uint32_t least, Clock::duration time);
  /// An interrupt goes out on it, for whatever reason: nothing of it waits any more.
  void clear(uint16_t vector);
  void clear();

  bool isWaiting() const { return waiting_ > 0; }
  /// A vector that has waited long enough; it does so no more.
  std::optional<uint16_t> takeDue();

 private:
  struct Vector {
    uint32_t entries = 0;
    Clock::time_point due;
  };

  std::vector<Vector> vectors_;
  uint32_t waiting_ = 0;
};

}  // namespace p2pmem::loopback
