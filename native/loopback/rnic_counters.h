// What the NIC has counted since it was made, as drivers show it in sysfs (hw_counters).
#pragma once

#include <cstdint>

namespace p2pmem::loopback {

struct RnicCounters {
  uint64_t lostPackets = 0;     // by faults, links that are down, and unknown destinations
  uint64_t damagedPackets = 0;  // arrived with a wrong CRC
  uint64_t retransmissions = 0;
  uint64_t timeouts = 0;
  uint64_t sequenceErrors = 0;  // NAKs received
  uint64_t rnrNaks = 0;         // received
  uint64_t pageFaults = 0;
  uint64_t invalidatedPages = 0;
};

}  // namespace p2pmem::loopback
