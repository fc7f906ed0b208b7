// How TypeScript and the addon pass work requests and completions: records in memory that both see,
// so that a batch costs one native call and no object. lib/rdma/ring-layout.ts has the same
// numbers. Opcodes, flags and statuses are those of libibverbs (infiniband/verbs.h).
#pragma once

#include <cstdint>

namespace p2pmem::rdma {

struct Sge {
  uint64_t address;  // what the memory region's addresses begin with, see MemoryRegion::address()
  uint32_t length;   // bytes
  uint32_t lkey;
};
static_assert(sizeof(Sge) == 16);

/// A request to send: this header, then `sgeCount` Sges; the records of a ring lie sendStride()
/// apart.
struct SendRecord {
  uint64_t id;
  uint32_t opcode;     // Opcode
  uint32_t flags;      // SendFlag
  uint32_t immediate;  // as a number; on the wire big-endian
  uint32_t sgeCount;
  uint64_t remoteAddress;
  uint32_t rkey;
  uint32_t reserved;
};
static_assert(sizeof(SendRecord) == 40);

/// A request to receive: this header, then its Sges, receiveStride() apart.
struct ReceiveRecord {
  uint64_t id;
  uint32_t sgeCount;
  uint32_t reserved;
};
static_assert(sizeof(ReceiveRecord) == 16);

struct CompletionRecord {
  uint64_t id;
  uint32_t status;  // ibv_wc_status; where it is not 0, only id, queuePair and vendorError count
  uint32_t opcode;  // ibv_wc_opcode
  uint32_t bytes;
  uint32_t immediate;
  uint32_t queuePair;  // its number
  uint32_t flags;      // bit 1 (IBV_WC_WITH_IMM): there is an immediate
  uint32_t vendorError;
  uint32_t reserved[7];
};
static_assert(sizeof(CompletionRecord) == 64);

/// Behind the records of a ring: what the call that posts them is asked, and what it answers. A
/// call with neither arguments nor a result is the cheapest that there is, and needs no other one
/// for the time.
struct PostCall {
  uint32_t first;  // of the records, counted without an end: a ring's size divides 2**32
  uint32_t count;
  int32_t taken;  // or the errno, negated, where the first was refused
  uint32_t reserved;
  uint64_t time;  // nanoseconds of CLOCK_MONOTONIC: when they had been handed over
};
static_assert(sizeof(PostCall) == 24);

/// Behind the records of completions: the same of the call that looks for some.
struct PollCall {
  uint32_t room;
  uint32_t looks;  // at most, until there are some
  int32_t found;   // or an errno, negated
  uint32_t reserved;
  uint64_t time;  // when they were found; where none were, as it was
};
static_assert(sizeof(PollCall) == 24);

constexpr uint32_t roundUpStride(uint32_t bytes) { return (bytes + 63) / 64 * 64; }
constexpr uint32_t sendStride(uint32_t maxSge) {
  return roundUpStride(sizeof(SendRecord) + maxSge * sizeof(Sge));
}
constexpr uint32_t receiveStride(uint32_t maxSge) {
  return roundUpStride(sizeof(ReceiveRecord) + maxSge * sizeof(Sge));
}

enum Opcode : uint32_t { kWrite = 0, kWriteImm = 1, kSend = 2, kSendImm = 3, kRead = 4 };
enum SendFlag : uint32_t { kFence = 1, kSignaled = 2, kSolicited = 4, kInline = 8 };
enum AccessFlag : uint32_t {
  kLocalWrite = 1,
  kRemoteWrite = 2,
  kRemoteRead = 4,
  kOnDemand = 64,
  kRelaxedOrdering = 1u << 20,
};

}  // namespace p2pmem::rdma
