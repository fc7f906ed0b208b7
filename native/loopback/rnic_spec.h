// Numbers of RC transport (InfiniBand Architecture 1.4, volume 1) and of libibverbs
// (infiniband/verbs.h), as the loopback machine's NIC uses them.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace p2pmem::loopback::rnic {

/// ibv_wc_status.
enum class WcStatus : uint32_t {
  success = 0,
  localLength = 1,
  localProtection = 4,
  flushed = 5,
  remoteInvalidRequest = 9,
  remoteAccess = 10,
  remoteOperation = 11,
  retryExceeded = 12,
  rnrRetryExceeded = 13,
};

/// ibv_wc_opcode.
constexpr uint32_t kWcSend = 0;
constexpr uint32_t kWcWrite = 1;
constexpr uint32_t kWcRead = 2;
constexpr uint32_t kWcReceive = 128;
constexpr uint32_t kWcReceiveWithImmediate = 129;
constexpr uint32_t kWcWithImmediate = 1 << 1;  // ibv_wc_flags

/// ibv_event_type.
enum class EventType : uint32_t {
  completionQueue = 0,
  queuePairFatal = 1,
  queuePairRequest = 2,
  queuePairAccess = 3,
  deviceFatal = 8,
  portActive = 9,
  portError = 10,
};

/// ibv_port_state.
constexpr uint8_t kPortDown = 1;
constexpr uint8_t kPortActive = 4;

/// What a negative acknowledgement says (§9.7.5.2.5, NAK codes).
enum class Nak : uint8_t {
  sequence = 0,
  invalidRequest = 1,
  remoteAccess = 2,
  remoteOperation = 3
};

/// Packet sequence numbers have 24 bits (§9.7.1).
constexpr uint32_t kPsnMask = 0xffffff;
/// How far `a` is past `b`; negative: it is before it.
constexpr int32_t psnDistance(uint32_t a, uint32_t b) {
  return static_cast<int32_t>((a - b) << 8) >> 8;
}

/// How far `a` is past `b`, which is not past it.
constexpr uint32_t offsetOf(uint32_t a, uint32_t b) { return (a - b) & kPsnMask; }

/// A message has up to 2^31 bytes (§9.7.7).
constexpr uint64_t kLongestMessage = uint64_t{1} << 31;

/// A retry count of 7 has no end where receivers are not ready (§9.7.5.2.8).
constexpr uint8_t kRetriesForEver = 7;

/// Local ACK timeout: 4.096 us times a power of two (§9.7.6.1.3).
constexpr std::chrono::nanoseconds ackTimeout(uint8_t exponent) {
  return std::chrono::nanoseconds(uint64_t{4096} << exponent);
}

/// Table 45, RNR NAK timer field: in units of 10 us.
constexpr std::array<uint32_t, 32> kRnrTimers = {
    65536, 1,    2,    3,    4,    6,     8,     12,    16,    24,   32,
    48,    64,   96,   128,  192,  256,   384,   512,   768,   1024, 1536,
    2048,  3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152};
constexpr std::chrono::nanoseconds rnrTimer(uint8_t code) {
  return std::chrono::microseconds(uint64_t{10} * kRnrTimers[code & 31]);
}

}  // namespace p2pmem::loopback::rnic
