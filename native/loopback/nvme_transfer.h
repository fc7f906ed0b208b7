// What a command's data pointer names: PRP entries or an SGL, within the rules of the CMB.
#pragma once

#include <cstdint>
#include <span>

#include "loopback/nvme_runs.h"

namespace p2pmem::loopback {

class NvmeTransfer {
 public:
  NvmeTransfer(Requester& requester, const NvmeCmb& cmb, uint64_t maxLength, SglSupport sgl)
      : cmb_(cmb), sgl_(sgl), runs_(requester, cmb, maxLength) {}

  /// Where the command is that comes next.
  void setCommandPlace(NvmeCmb::Place place) { commandPlace_ = place; }

  /// Collects the runs of `length` bytes and accounts for them. `write`: the device writes them.
  nvme::CommandStatus gather(const nvme::Command& command, uint64_t length, bool write);

  std::span<const Run> runs() const { return runs_.runs(); }

  /// Gathers, then fills the memory from `source`: for Identify, log pages.
  nvme::CommandStatus send(const nvme::Command& command, const void* source, uint64_t length);
  /// Gathers, then fills `target` from the memory: for ranges, features.
  nvme::CommandStatus receive(const nvme::Command& command, void* target, uint64_t length);

 private:
  const NvmeCmb& cmb_;
  SglSupport sgl_;
  NvmeRuns runs_;
  NvmeCmb::Place commandPlace_ = NvmeCmb::kOutside;
};

}  // namespace p2pmem::loopback
