#include "loopback/nvme_io.h"

#include <array>
#include <span>

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

nvme::CommandStatus NvmeIo::manageDataset(const NvmeNamespace& space,
                                          const nvme::Command& command) {
  std::array<nvme::DsmRange, 256> ranges;
  const uint32_t count = (command.dw[10] & 0xff) + 1;  // NR is 0's based
  if (const auto failed = transfer_.receive(command, ranges.data(), count * sizeof ranges[0]))
    return failed;
  const std::span used(ranges.data(), count);
  for (const nvme::DsmRange& range : used)
    if (range.blocks > 0 && !space.holds(range.slba, range.blocks)) return nvme::kLbaOutOfRange;
  if (!(command.dw[11] & nvme::kDsmDeallocate)) return nvme::kSuccess;  // the rest are hints
  for (const nvme::DsmRange& range : used)
    if (!space.media->zero(range.slba << space.blockShift,
                           uint64_t{range.blocks} << space.blockShift))
      return nvme::kWriteFault;
  return nvme::kSuccess;
}

// The commands that name one range of blocks.
nvme::CommandStatus NvmeIo::access(const NvmeNamespace& space, const nvme::Command& command) {
  const uint64_t lba = command.slba();
  const uint64_t length = uint64_t{command.blocks()} << space.blockShift;
  if (command.opcode() != nvme::kWriteZeroes && length > maxTransfer_) return nvme::kInvalidField;
  if (!space.holds(lba, command.blocks())) return nvme::kLbaOutOfRange;
  const uint64_t offset = lba << space.blockShift;
  switch (command.opcode()) {
    case nvme::kRead:
      return read(*space.media, command, offset, length);
    case nvme::kWrite:
      return write(*space.media, command, offset, length);
    case nvme::kCompare:
      return compare(*space.media, command, offset, length);
    default:
      // Deallocated (DEAC) or not, it reads as zeros.
      return space.media->zero(offset, length) ? nvme::kSuccess : nvme::kWriteFault;
  }
}

nvme::CommandStatus NvmeIo::execute(const nvme::Command& command, uint32_t& result) {
  // MPTR cannot hold an SGL's address (PSDT 10b): SGLS bit 19 is clear.
  const bool readable =
      command.psdt() == nvme::kPsdtPrp || (command.psdt() == nvme::kPsdtSgl && takesSgl_);
  if (command.fuse() != 0 || !readable) return nvme::kInvalidField;
  const uint32_t nsid = command.nsid();
  const bool exists = nsid >= 1 && nsid <= namespaces_.size();
  switch (command.opcode()) {
    case nvme::kFlush:
      return exists || nsid == 0xffffffff ? flush(nsid) : nvme::kInvalidNamespace;
    case nvme::kRead:
    case nvme::kWrite:
    case nvme::kCompare:
    case nvme::kWriteZeroes:
      return exists ? access(namespaces_[nsid - 1], command) : nvme::kInvalidNamespace;
    case nvme::kDatasetManagement:
      return exists ? manageDataset(namespaces_[nsid - 1], command) : nvme::kInvalidNamespace;
    case nvme::kCopy:
      if (copy_.configuration().formats == 0) return nvme::kInvalidOpcode;
      return exists ? copy_.execute(command, result) : nvme::kInvalidNamespace;
    default:
      return nvme::kInvalidOpcode;
  }
}

}  // namespace p2pmem::loopback
