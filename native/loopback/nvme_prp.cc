#include "loopback/nvme_prp.h"

#include <algorithm>

namespace p2pmem::loopback {

namespace {

constexpr uint64_t kPage = nvme::kPageSize;
constexpr uint64_t kPageOffset = kPage - 1;
constexpr uint64_t kEntrySize = 8;

nvme::CommandStatus gatherList(uint64_t list, uint64_t left, NvmeRuns& runs) {
  if (list & (kEntrySize - 1)) return nvme::kInvalidPrpOffset;
  while (left > 0) {
    const uint64_t room = (kPage - (list & kPageOffset)) / kEntrySize;
    const uint64_t pages = (left + kPage - 1) / kPage;
    // The last slot of a list page chains only if more entries follow (§4.3).
    const bool chained = pages > room;
    const uint64_t count = chained ? room : pages;
    const uint8_t* memory = runs.list(list, static_cast<uint32_t>(count * kEntrySize));
    if (!memory) return nvme::kDataTransferError;
    const auto* entries = reinterpret_cast<const uint64_t*>(memory);
    for (uint64_t i = 0; i < count - (chained ? 1 : 0); i++) {
      const uint64_t entry = entries[i];
      if (entry & kPageOffset) return nvme::kInvalidPrpOffset;
      const uint64_t length = std::min(left, kPage);
      runs.extend(entry, length);
      left -= length;
    }
    if (!chained) break;
    list = entries[count - 1];
    if (list & kPageOffset) return nvme::kInvalidPrpOffset;
  }
  return nvme::kSuccess;
}

}  // namespace

nvme::CommandStatus gatherPrps(const nvme::Command& command, uint64_t length, NvmeRuns& runs) {
  const uint64_t prp1 = command.prp1();
  const uint64_t prp2 = command.prp2();
  if (prp1 & 3) return nvme::kInvalidPrpOffset;
  const uint64_t first = std::min(length, kPage - (prp1 & kPageOffset));
  runs.extend(prp1, first);
  const uint64_t left = length - first;
  if (left > kPage) return gatherList(prp2, left, runs);
  if (left == 0) return nvme::kSuccess;
  if (prp2 & kPageOffset) return nvme::kInvalidPrpOffset;
  runs.extend(prp2, left);
  return nvme::kSuccess;
}

}  // namespace p2pmem::loopback
