#include "loopback/nvme_transfer.h"

#include <cstring>

#include "loopback/nvme_prp.h"
#include "loopback/nvme_sgl.h"

namespace p2pmem::loopback {

nvme::CommandStatus NvmeTransfer::gather(const nvme::Command& command, uint64_t length,
                                         bool write) {
  runs_.begin(write);
  const auto failed = command.psdt() == nvme::kPsdtPrp ? gatherPrps(command, length, runs_)
                                                       : gatherSgl(command, length, sgl_, runs_);
  if (failed) return failed;
  runs_.finish();
  return cmb_.checkCommand(commandPlace_, runs_.cmbUse(), write);
}

nvme::CommandStatus NvmeTransfer::send(const nvme::Command& command, const void* source,
                                       uint64_t length) {
  if (const auto failed = gather(command, length, true)) return failed;
  const auto* from = static_cast<const uint8_t*>(source);
  for (const Run& run : runs()) {
    if (run.data) memcpy(run.data, from, run.length);
    from += run.length;
  }
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeTransfer::receive(const nvme::Command& command, void* target,
                                          uint64_t length) {
  if (const auto failed = gather(command, length, false)) return failed;
  auto* to = static_cast<uint8_t*>(target);
  for (const Run& run : runs()) {
    if (run.data)
      memcpy(to, run.data, run.length);
    else
      memset(to, 0, run.length);
    to += run.length;
  }
  return nvme::kSuccess;
}

}  // namespace p2pmem::loopback
