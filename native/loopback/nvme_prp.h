// PRP entries and lists (NVMe 1.4 §4.3).
#pragma once

#include "loopback/nvme_runs.h"

namespace p2pmem::loopback {

/// Adds the `length` bytes that the command's PRP entries name.
nvme::CommandStatus gatherPrps(const nvme::Command& command, uint64_t length, NvmeRuns& runs);

}  // namespace p2pmem::loopback
