// The Copy command (NVM Command Set 1.0 §3.2.2; formats 2 and 3 as of 1.1).
#pragma once

#include <cstdint>
#include <vector>

#include "loopback/configuration.h"
#include "loopback/nvme_namespace.h"
#include "loopback/nvme_transfer.h"

namespace p2pmem::loopback {

class NvmeCopy {
 public:
  NvmeCopy(std::vector<NvmeNamespace>& namespaces, NvmeTransfer& transfer,
           const CopyConfiguration& configuration);

  /// Host Behavior Support, CDFE: the formats across namespaces that the host knows.
  void enableFormats(uint16_t formats) { enabled_ = formats; }
  const CopyConfiguration& configuration() const { return configuration_; }

  /// `result`, if it fails: the number of the first range that was not copied.
  nvme::CommandStatus execute(const nvme::Command& command, uint32_t& result);

 private:
  struct Range {
    uint32_t nsid;
    uint64_t slba;
    uint64_t blocks;
  };

  nvme::CommandStatus readRanges(const nvme::Command& command, std::vector<Range>& ranges);
  nvme::CommandStatus checkSource(const Range& range, uint32_t nsid, uint64_t target,
                                  uint64_t total) const;
  nvme::CommandStatus move(NvmeMedia& from, uint64_t source, NvmeMedia& to, uint64_t target,
                           uint64_t length);

  std::vector<NvmeNamespace>& namespaces_;
  NvmeTransfer& transfer_;
  CopyConfiguration configuration_;
  uint16_t enabled_ = 0;
  std::vector<uint8_t> buffer_;
};

}  // namespace p2pmem::loopback
