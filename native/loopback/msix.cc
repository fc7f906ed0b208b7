#include "loopback/msix.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

namespace p2pmem::loopback {

namespace {
// Where x86 takes interrupt messages (Intel SDM volume 3, "Message Signalled Interrupts").
constexpr uint32_t kMessageAddress = 0xfee00000;
constexpr uint32_t kEntryDwords = 4;
constexpr uint32_t kVectorControl = 3;
}  // namespace

void Msix::add(uint32_t vectors, uint64_t tableAt, uint64_t pendingAt) {
  entries_ = std::vector<Entry>(vectors);
  tableAt_ = tableAt;
  pendingAt_ = pendingAt;
}

uint32_t Msix::read(uint64_t offset) const {
  if (inTable(offset)) {
    const uint64_t dword = (offset - tableAt_) / 4;
    return entries_[dword / kEntryDwords].dwords[dword % kEntryDwords];
  }
  uint32_t bits = 0;
  const uint64_t first = (offset - pendingAt_) * 8;
  for (uint64_t i = 0; i < 32 && first + i < entries_.size(); i++)
    bits |= uint32_t{entries_[first + i].isPending} << i;
  return bits;
}

void Msix::write(uint64_t offset, uint32_t value) {
  if (!inTable(offset)) return;
  const uint64_t dword = (offset - tableAt_) / 4;
  const uint64_t at = dword % kEntryDwords;
  // The rest of vector control is reserved.
  entries_[dword / kEntryDwords].dwords[at] = at == kVectorControl ? value & kMasked : value;
}

void Msix::setUp(Entry& entry, uint32_t vector) {
  entry.dwords[0] = kMessageAddress;
  entry.dwords[1] = 0;
  entry.dwords[2] = vector;
  entry.dwords[kVectorControl] = entry.fd ? 0 : kMasked;
}

void Msix::route(uint32_t vector, UniqueFd fd) {
  entries_[vector].fd = std::move(fd);
  setUp(entries_[vector], vector);
}

bool Msix::isRouted() const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const Entry& entry) { return static_cast<bool>(entry.fd); });
}

void Msix::reset() {
  for (uint32_t vector = 0; vector < entries_.size(); vector++) {
    entries_[vector].isPending = false;
    setUp(entries_[vector], vector);
  }
}

bool Msix::signal(uint32_t vector, bool isFunctionMasked) {
  Entry& entry = entries_[vector];
  entry.isPending = isFunctionMasked || entry.isMasked();
  if (entry.isPending || !entry.fd) return false;
  // Fails only where the counter is full, and then the listener is awake anyway.
  (void)eventfd_write(entry.fd.get(), 1);
  return true;
}

uint32_t Msix::sendPending(bool isFunctionMasked) {
  uint32_t sent = 0;
  for (uint32_t vector = 0; vector < entries_.size(); vector++)
    if (entries_[vector].isPending) sent += signal(vector, isFunctionMasked) ? 1 : 0;
  return sent;
}

}  // namespace p2pmem::loopback
