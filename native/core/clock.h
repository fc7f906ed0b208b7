// The clock that lib/reactor/clock.ts reads, too.
#pragma once

#include <cstdint>
#include <ctime>

namespace p2pmem {

inline uint64_t monotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);  // cannot fail
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace p2pmem
