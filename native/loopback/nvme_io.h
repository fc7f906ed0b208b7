// The I/O commands (NVMe 1.4 §6).
#pragma once

#include <cstdint>
#include <vector>

#include "loopback/nvme_copy.h"
#include "loopback/nvme_namespace.h"
#include "loopback/nvme_transfer.h"

namespace p2pmem::loopback {

/// What the SMART log counts (§5.14.1.2).
struct NvmeStatistics {
  uint64_t readBlocks = 0;  // of 512 bytes
  uint64_t writeBlocks = 0;
  uint64_t readCommands = 0;
  uint64_t writeCommands = 0;

  uint64_t bytes() const { return (readBlocks + writeBlocks) << 9; }
};

class NvmeIo {
 public:
  NvmeIo(std::vector<NvmeNamespace>& namespaces, NvmeTransfer& transfer,
         const NvmeConfiguration& configuration)
      : namespaces_(namespaces),
        transfer_(transfer),
        copy_(namespaces, transfer, configuration.copy),
        maxTransfer_(configuration.maxTransfer),
        takesSgl_(configuration.sgl != SglSupport::none) {}

  /// `result` is dword 0 of the completion.
  nvme::CommandStatus execute(const nvme::Command& command, uint32_t& result);

  NvmeCopy& copy() { return copy_; }

  const NvmeStatistics& statistics() const { return statistics_; }

 private:
  nvme::CommandStatus flush(uint32_t nsid);
  nvme::CommandStatus manageDataset(const NvmeNamespace& space, const nvme::Command& command);
  nvme::CommandStatus access(const NvmeNamespace& space, const nvme::Command& command);
  nvme::CommandStatus read(NvmeMedia& media, const nvme::Command& command, uint64_t offset,
                           uint64_t length);
  nvme::CommandStatus write(NvmeMedia& media, const nvme::Command& command, uint64_t offset,
                            uint64_t length);
  nvme::CommandStatus compare(NvmeMedia& media, const nvme::Command& command, uint64_t offset,
                              uint64_t length);

  std::vector<NvmeNamespace>& namespaces_;
  NvmeTransfer& transfer_;
  NvmeCopy copy_;
  uint64_t maxTransfer_;
  bool takesSgl_;
  NvmeStatistics statistics_;
};

}  // namespace p2pmem::loopback
