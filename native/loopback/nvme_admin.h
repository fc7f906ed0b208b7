// The admin commands (NVMe 1.4 §5).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "loopback/nvme_events.h"
#include "loopback/nvme_faults.h"
#include "loopback/nvme_features.h"
#include "loopback/nvme_identify.h"
#include "loopback/nvme_io.h"
#include "loopback/nvme_queues.h"
#include "loopback/nvme_transfer.h"

namespace p2pmem::loopback {

class NvmeAdmin {
 public:
  struct Parts {
    const NvmeFacts& facts;
    const std::vector<NvmeNamespace>& namespaces;
    NvmeQueues& queues;
    NvmeEvents& events;
    NvmeHeldCommands& held;
    NvmeTransfer& transfer;
    const NvmeCmb& cmb;
    NvmeIo& io;
    uint64_t maxTransfer;
    uint32_t maxQueueEntries;
  };

  explicit NvmeAdmin(const Parts& parts)
      : parts_(parts), features_(parts.queues, parts.transfer, parts.io) {}

  /// Features back to their defaults.
  void reset() { features_.reset(); }

  const NvmeFeatures& features() const { return features_; }

  /// `result` is dword 0 of the completion, `configuration` the CC register. No status: the command
  /// is not completed now (Asynchronous Event Request).
  std::optional<nvme::CommandStatus> execute(const nvme::Command& command, uint32_t configuration,
                                             uint32_t& result);

 private:
  nvme::CommandStatus createCompletionQueue(const nvme::Command& command, uint32_t configuration);
  nvme::CommandStatus createSubmissionQueue(const nvme::Command& command, uint32_t configuration);
  nvme::CommandStatus identify(const nvme::Command& command);
  nvme::CommandStatus getLogPage(const nvme::Command& command);
  nvme::CommandStatus configureDoorbellBuffer(const nvme::Command& command);
  nvme::CommandStatus abort(const nvme::Command& command, uint32_t& result);
  std::vector<uint8_t> smartLog() const;

  Parts parts_;
  NvmeFeatures features_;
};

}  // namespace p2pmem::loopback
