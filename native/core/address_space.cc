#include "core/address_space.h"

#include <cstdio>

namespace p2pmem {

namespace {
constexpr uint64_t kPage = 4096;

std::string hex(uint64_t value) {
  char text[20];
  snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}
}  // namespace

Status AddressSpace::map(std::shared_ptr<Memory> memory, uint64_t offset, uint64_t length,
                         uint64_t iova, Access access) {
  if (length == 0 || (offset | length | iova) % kPage != 0 || offset > memory->size() ||
      length > memory->size() - offset || iova + length - 1 < iova)
    return Error{.code = "BAD_RANGE",
                 .message = "cannot map " + hex(length) + " bytes at offset " + hex(offset) +
                            " of memory of " + hex(memory->size()) + " bytes at IOVA " + hex(iova),
                 .hint = "offset, length and IOVA must be multiples of 4096 and inside the memory"};
  // Its pages are ones of our own by now: mapped, they would pass for the device's.
  if (Status status = PresenceCheck(*memory).result(); !status.ok()) return status;
  const std::lock_guard lock(mutex_);
  const auto next = mappings_.lower_bound(iova);
  const bool hitsNext = next != mappings_.end() && next->first - iova < length;
  const auto before = next == mappings_.begin() ? mappings_.end() : std::prev(next);
  const bool hitsBefore = before != mappings_.end() && iova - before->first < before->second.length;
  if (hitsNext || hitsBefore)
    return Error{.code = "IOVA_IN_USE", .message = "IOVA " + hex(iova) + " is mapped already"};
  if (Status status = doMap(*memory, offset, length, iova, access); !status.ok()) return status;
  mappings_.emplace(iova, Mapping{std::move(memory), length});
  return {};
}

Status AddressSpace::unmap(uint64_t iova, uint64_t length) {
  const std::lock_guard lock(mutex_);
  const auto entry = mappings_.find(iova);
  if (entry == mappings_.end() || entry->second.length != length)
    return Error{.code = "NOT_MAPPED",
                 .message = "no mapping of " + hex(length) + " bytes at IOVA " + hex(iova)};
  if (Status status = doUnmap(iova, length); !status.ok()) return status;
  mappings_.erase(entry);
  return {};
}

Status AddressSpace::unmapAll() {
  const std::lock_guard lock(mutex_);
  Status first;
  for (auto entry = mappings_.begin(); entry != mappings_.end();) {
    Status status = doUnmap(entry->first, entry->second.length);
    if (status.ok()) {
      entry = mappings_.erase(entry);
      continue;
    }
    // Still mapped, so the memory must stay: it is kept until this address space goes.
    if (first.ok()) first = std::move(status);
    ++entry;
  }
  return first;
}

}  // namespace p2pmem
