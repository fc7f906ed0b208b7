// Scatter gather lists (NVMe 1.4 §4.4).
#pragma once

#include "loopback/configuration.h"
#include "loopback/nvme_runs.h"

namespace p2pmem::loopback {

/// Adds the `length` bytes that the command's SGL describes, neither more nor less.
nvme::CommandStatus gatherSgl(const nvme::Command& command, uint64_t length, SglSupport support,
                              NvmeRuns& runs);

}  // namespace p2pmem::loopback
