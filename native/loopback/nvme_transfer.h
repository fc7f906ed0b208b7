// The memory that a command's PRP entries describe (NVMe 1.4 §4.3), as contiguous runs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "loopback/nvme_spec.h"
#include "loopback/requester.h"

namespace p2pmem::loopback {

/// One contiguous piece of this process's memory. `data` null: requests there are dropped.
struct Run {
  uint8_t* data;
  uint64_t length;
};

class NvmeTransfer {
 public:
  NvmeTransfer(Requester& requester, uint64_t maxLength);

  /// Collects the runs of `length` bytes and accounts for them. `write`: the device writes them.
  nvme::CommandStatus gather(const nvme::Command& command, uint64_t length, bool write);

  std::span<const Run> runs() const { return runs_; }

  /// Gathers, then fills the memory from `source`: for Identify, log pages.
  nvme::CommandStatus send(const nvme::Command& command, const void* source, uint64_t length);

 private:
  nvme::CommandStatus gatherList(uint64_t list, uint64_t left);
  void extend(uint64_t address, uint64_t length);
  void flush();

  Requester& requester_;
  std::vector<Run> runs_;  // with room for the largest transfer from the start
  bool write_ = false;
  // Bus addresses that are contiguous so far. Not an end, which is 0 at the top of the addresses.
  uint64_t start_ = 0;
  uint64_t length_ = 0;
};

}  // namespace p2pmem::loopback
