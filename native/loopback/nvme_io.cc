#include "loopback/nvme_io.h"

namespace p2pmem::loopback {

nvme::CommandStatus NvmeIo::flush(uint32_t nsid) {
  constexpr uint32_t kAllNamespaces = 0xffffffff;
  if (nsid != kAllNamespaces)
    return namespaces_[nsid - 1].media->flush() ? nvme::kSuccess : nvme::kWriteFault;
  bool done = true;
  for (NvmeNamespace& space : namespaces_) done = space.media->flush() && done;
  return done ? nvme::kSuccess : nvme::kWriteFault;
}

nvme::CommandStatus NvmeIo::read(NvmeMedia& media, const nvme::Command& command, uint64_t offset,
                                 uint64_t length) {
  if (const auto failed = transfer_.gather(command, length, true)) return failed;
  statistics_.readBlocks += length >> 9;
  statistics_.readCommands++;
  return media.read(offset, transfer_.runs()) ? nvme::kSuccess : nvme::kUnrecoveredReadError;
}

nvme::CommandStatus NvmeIo::write(NvmeMedia& media, const nvme::Command& command, uint64_t offset,
                                  uint64_t length) {
  if (const auto failed = transfer_.gather(command, length, false)) return failed;
  statistics_.writeBlocks += length >> 9;
  statistics_.writeCommands++;
  return media.write(offset, transfer_.runs()) ? nvme::kSuccess : nvme::kWriteFault;
}

nvme::CommandStatus NvmeIo::compare(NvmeMedia& media, const nvme::Command& command, uint64_t offset,
                                    uint64_t length) {
  if (const auto failed = transfer_.gather(command, length, false)) return failed;
  statistics_.readBlocks += length >> 9;
  statistics_.readCommands++;
  bool equal = false;
  if (!media.compare(offset, transfer_.runs(), equal)) return nvme::kUnrecoveredReadError;
  return equal ? nvme::kSuccess : nvme::kCompareFailure;
}

nvme::CommandStatus NvmeIo::execute(const nvme::Command& command) {
  // MPTR cannot hold an SGL's address (PSDT 10b): SGLS bit 19 is clear.
  const bool readable =
      command.psdt() == nvme::kPsdtPrp || (command.psdt() == nvme::kPsdtSgl && takesSgl_);
  if (command.fuse() != 0 || !readable) return nvme::kInvalidField;
  const uint8_t opcode = command.opcode();
  const uint32_t nsid = command.nsid();
  const bool exists = nsid >= 1 && nsid <= namespaces_.size();
  if (opcode == nvme::kFlush)
    return exists || nsid == 0xffffffff ? flush(nsid) : nvme::kInvalidNamespace;
  if (opcode != nvme::kRead && opcode != nvme::kWrite && opcode != nvme::kCompare &&
      opcode != nvme::kWriteZeroes)
    return nvme::kInvalidOpcode;
  if (!exists) return nvme::kInvalidNamespace;

  const NvmeNamespace& space = namespaces_[nsid - 1];
  const uint64_t lba = command.slba();
  const uint64_t length = uint64_t{command.blocks()} << space.blockShift;
  if (opcode != nvme::kWriteZeroes && length > maxTransfer_) return nvme::kInvalidField;
  if (lba >= space.blocks() || command.blocks() > space.blocks() - lba) return nvme::kLbaOutOfRange;
  const uint64_t offset = lba << space.blockShift;
  switch (opcode) {
    case nvme::kRead:
      return read(*space.media, command, offset, length);
    case nvme::kWrite:
      return write(*space.media, command, offset, length);
    case nvme::kCompare:
      return compare(*space.media, command, offset, length);
    default:
      return space.media->zero(offset, length) ? nvme::kSuccess : nvme::kWriteFault;
  }
}

}  // namespace p2pmem::loopback
