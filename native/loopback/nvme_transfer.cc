#include "loopback/nvme_transfer.h"

#include <algorithm>
#include <cstring>

namespace p2pmem::loopback {

namespace {

constexpr uint64_t kPage = nvme::kPageSize;
constexpr uint64_t kPageOffset = kPage - 1;
constexpr uint64_t kEntrySize = 8;

}  // namespace

NvmeTransfer::NvmeTransfer(Requester& requester, uint64_t maxLength) : requester_(requester) {
  // Runs end where pages do, and one more page is touched at an offset.
  runs_.reserve(maxLength / kPage + 1);
}

void NvmeTransfer::flush() {
  // Members would be loaded again after each store to the run and to the route's counter.
  uint64_t address = start_;
  uint64_t left = length_;
  while (left > 0) {
    const Span span = requester_.resolve(address, left, write_);
    if (span.data) (write_ ? span.route->writeBytes : span.route->readBytes) += span.length;
    runs_.push_back({span.data, span.length});
    address += span.length;
    left -= span.length;
  }
  length_ = 0;
}

void NvmeTransfer::extend(uint64_t address, uint64_t length) {
  if (address != start_ + length_) {
    flush();
    start_ = address;
  }
  length_ += length;
}

nvme::CommandStatus NvmeTransfer::gather(const nvme::Command& command, uint64_t length,
                                         bool write) {
  runs_.clear();
  write_ = write;
  const uint64_t prp1 = command.prp1();
  const uint64_t prp2 = command.prp2();
  if (prp1 & 3) return nvme::kInvalidPrpOffset;
  const uint64_t first = std::min(length, kPage - (prp1 & kPageOffset));
  start_ = prp1;
  length_ = first;
  const uint64_t left = length - first;
  if (left > kPage) {
    if (const auto failed = gatherList(prp2, left)) return failed;
  } else if (left > 0) {
    if (prp2 & kPageOffset) return nvme::kInvalidPrpOffset;
    extend(prp2, left);
  }
  flush();
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeTransfer::gatherList(uint64_t list, uint64_t left) {
  if (list & (kEntrySize - 1)) return nvme::kInvalidPrpOffset;
  while (left > 0) {
    const uint64_t room = (kPage - (list & kPageOffset)) / kEntrySize;
    const uint64_t pages = (left + kPage - 1) / kPage;
    // The last slot of a list page chains only if more entries follow (§4.3).
    const bool chained = pages > room;
    const uint64_t count = chained ? room : pages;
    const uint8_t* memory =
        requester_.control(list, static_cast<uint32_t>(count * kEntrySize), false);
    if (!memory) return nvme::kDataTransferError;
    const auto* entries = reinterpret_cast<const uint64_t*>(memory);
    for (uint64_t i = 0; i < count - (chained ? 1 : 0); i++) {
      const uint64_t entry = entries[i];
      if (entry & kPageOffset) return nvme::kInvalidPrpOffset;
      const uint64_t length = std::min(left, kPage);
      extend(entry, length);
      left -= length;
    }
    if (!chained) break;
    list = entries[count - 1];
    if (list & kPageOffset) return nvme::kInvalidPrpOffset;
  }
  return nvme::kSuccess;
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

}  // namespace p2pmem::loopback
