#include "loopback/nvme_copy.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace p2pmem::loopback {

namespace {

constexpr uint64_t kBuffer = 64 << 10;
constexpr uint16_t kAlwaysEnabled = 1 << 0 | 1 << 1;

// Dword 12: NR (0's based) and the descriptor format.
uint32_t rangeCount(const nvme::Command& command) { return (command.dw[12] & 0xff) + 1; }
uint32_t format(const nvme::Command& command) { return command.dw[12] >> 8 & 0xf; }

// Source Range Entries of formats 0 to 3: SNSID (2 and 3), SLBA and NLB (0's based) are at the same
// places; what protection information needs makes 1 and 3 larger.
constexpr uint64_t kSlbaAt = 8;
constexpr uint64_t kNlbAt = 16;
uint64_t entrySize(uint32_t format) { return format % 2 == 0 ? 32 : 40; }
bool hasNamespace(uint32_t format) { return format >= 2; }

}  // namespace

NvmeCopy::NvmeCopy(std::vector<NvmeNamespace>& namespaces, NvmeTransfer& transfer,
                   const CopyConfiguration& configuration)
    : namespaces_(namespaces),
      transfer_(transfer),
      configuration_(configuration),
      buffer_(configuration.formats != 0 ? kBuffer : 0) {}

nvme::CommandStatus NvmeCopy::readRanges(const nvme::Command& command, std::vector<Range>& ranges) {
  const uint32_t chosen = format(command);
  const uint64_t size = entrySize(chosen);
  std::vector<uint8_t> entries(rangeCount(command) * size);
  if (const auto failed = transfer_.receive(command, entries.data(), entries.size())) return failed;
  for (const uint8_t* at = entries.data(); at < entries.data() + entries.size(); at += size) {
    Range range{.nsid = command.nsid(), .slba = 0, .blocks = 0};
    uint16_t nlb = 0;
    if (hasNamespace(chosen)) memcpy(&range.nsid, at, sizeof range.nsid);
    memcpy(&range.slba, at + kSlbaAt, sizeof range.slba);
    memcpy(&nlb, at + kNlbAt, sizeof nlb);
    range.blocks = uint64_t{nlb} + 1;
    if (range.blocks > configuration_.rangeBlocks) return nvme::kCommandSizeLimit;
    ranges.push_back(range);
  }
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeCopy::checkSource(const Range& range, uint32_t nsid, uint64_t target,
                                          uint64_t total) const {
  if (range.nsid == 0 || range.nsid > namespaces_.size()) return nvme::kInvalidNamespace;
  const NvmeNamespace& source = namespaces_[range.nsid - 1];
  if (source.blockShift != namespaces_[nsid - 1].blockShift) return nvme::kIncompatibleNamespace;
  if (!source.holds(range.slba, range.blocks)) return nvme::kLbaOutOfRange;
  const bool overlaps =
      range.nsid == nsid && range.slba < target + total && target < range.slba + range.blocks;
  return overlaps ? nvme::kOverlappingRange : nvme::kSuccess;
}

nvme::CommandStatus NvmeCopy::move(NvmeMedia& from, uint64_t source, NvmeMedia& to, uint64_t target,
                                   uint64_t length) {
  for (uint64_t done = 0; done < length;) {
    const Run part{buffer_.data(), std::min<uint64_t>(buffer_.size(), length - done)};
    if (!from.read(source + done, {&part, 1})) return nvme::kUnrecoveredReadError;
    if (!to.write(target + done, {&part, 1})) return nvme::kWriteFault;
    done += part.length;
  }
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeCopy::execute(const nvme::Command& command, uint32_t& result) {
  const uint16_t chosen = static_cast<uint16_t>(1u << format(command));
  if (!(chosen & configuration_.formats) || !(chosen & (kAlwaysEnabled | enabled_)))
    return nvme::kInvalidField;
  if (rangeCount(command) > configuration_.maxRanges) return nvme::kCommandSizeLimit;
  std::vector<Range> ranges;
  if (const auto failed = readRanges(command, ranges)) return failed;
  const uint64_t total =
      std::accumulate(ranges.begin(), ranges.end(), uint64_t{0},
                      [](uint64_t sum, const Range& range) { return sum + range.blocks; });
  if (total > configuration_.blocks) return nvme::kCommandSizeLimit;

  NvmeNamespace& target = namespaces_[command.nsid() - 1];
  uint64_t at = command.slba();  // SDLBA has the place of SLBA
  const uint64_t first = at;
  if (!target.holds(at, total)) return nvme::kLbaOutOfRange;
  for (uint32_t i = 0; i < ranges.size(); i++) {
    const Range& range = ranges[i];
    result = i;
    if (const auto failed = checkSource(range, command.nsid(), first, total)) return failed;
    const NvmeNamespace& source = namespaces_[range.nsid - 1];
    if (const auto failed = move(*source.media, range.slba << source.blockShift, *target.media,
                                 at << target.blockShift, range.blocks << target.blockShift))
      return failed;
    at += range.blocks;
  }
  result = 0;
  return nvme::kSuccess;
}

}  // namespace p2pmem::loopback
