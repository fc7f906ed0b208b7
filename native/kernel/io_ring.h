// An io_uring of the kernel by its raw system calls (io_uring(7)): the memory that it shares with
// the process, the files and buffers that are registered with it, and one call for a batch.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/memory.h"
#include "core/status.h"
#include "core/unique_fd.h"
#include "kernel/io_uring_abi.h"

namespace p2pmem {

class IoRing {
 public:
  /// For the calling thread alone, with room for `entries` requests and twice as many completions.
  /// Errors: NO_IO_URING, MEMLOCK, NO_MEMORY, IO.
  static Result<std::shared_ptr<IoRing>> create(uint32_t entries);

  /// As close().
  ~IoRing();
  IoRing(const IoRing&) = delete;
  IoRing& operator=(const IoRing&) = delete;

  /// Sizes, and where in rings() the words are (io_uring_setup(2)).
  const io_uring_params& parameters() const { return parameters_; }
  const std::shared_ptr<Memory>& rings() const { return rings_; }
  const std::shared_ptr<Memory>& entries() const { return entries_; }

  /// Keeps memory that requests name until none is in flight any more.
  void hold(std::shared_ptr<Memory> memory) { held_.push_back(std::move(memory)); }

  /// Requests may name these files by their index. Errors: IO, CLOSED.
  Status registerFiles(const std::vector<int>& files);
  /// Pins these pieces, each of `length` bytes, once for all: requests may name them by their
  /// index. Errors: NOT_REGISTERED, CLOSED.
  Status registerBuffers(const std::vector<void*>& buffers, size_t length);

  /// io_uring_enter(2): hands over so many requests, then waits until `complete` completions are
  /// there, or `timeoutNs` are over; negative: no limit. The number that was handed over, or the
  /// errno, negated; that the time was over, or a signal came, is no error.
  int64_t enter(uint32_t submit, uint32_t complete, int64_t timeoutNs);

  /// Waits until nothing is in flight, which the kernel sees to, then lets everything go.
  /// Where it cannot wait (io_uring_enter fails), memory that is held stays for good. Idempotent.
  void close();

 private:
  IoRing(UniqueFd fd, const io_uring_params& parameters)
      : fd_(std::move(fd)), parameters_(parameters) {}

  Result<std::shared_ptr<Memory>> map(uint64_t offset, size_t size);
  uint32_t inFlight() const;

  UniqueFd fd_;
  io_uring_params parameters_;
  std::shared_ptr<Memory> rings_;
  std::shared_ptr<Memory> entries_;
  std::vector<std::shared_ptr<Memory>> held_;
  uint32_t submitted_ = 0;  // ever; wraps around, as the kernel's counters do
};

}  // namespace p2pmem
