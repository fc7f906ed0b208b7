#include "core/cpu_copy.h"

#include <cstring>

namespace p2pmem {

namespace {

// Accesses of a fixed width in program order. Both pointers must agree modulo 8, or the device
// side would see unaligned accesses; if they do not, bytes it is.
void copyByWidth(volatile uint8_t* to, const volatile uint8_t* from, size_t length) {
  size_t at = 0;
  const auto misfit = [](const volatile uint8_t* p) { return reinterpret_cast<uintptr_t>(p) & 7; };
  if (misfit(to) == misfit(from)) {
    for (; at < length && misfit(to + at) != 0; at++) to[at] = from[at];
    for (; at + 8 <= length; at += 8)
      *reinterpret_cast<volatile uint64_t*>(to + at) =
          *reinterpret_cast<const volatile uint64_t*>(from + at);
  }
  for (; at < length; at++) to[at] = from[at];
}

int64_t findDifference(const uint8_t* a, const uint8_t* b, size_t length) {
  if (memcmp(a, b, length) == 0) return -1;
  // Bounded: a device that still writes may have made them equal since.
  for (size_t at = 0; at < length; at++)
    if (a[at] != b[at]) return static_cast<int64_t>(at);
  return -1;
}

}  // namespace

Status cpuCopy(Memory& to, size_t toOffset, Memory& from, size_t fromOffset, size_t length) {
  uint8_t* target = to.data() + toOffset;
  const uint8_t* source = from.data() + fromOffset;
  if (to.kind() == Memory::Kind::host && from.kind() == Memory::Kind::host) {
    memmove(target, source, length);
    return {};
  }
  const PresenceCheck toCheck(to);
  const PresenceCheck fromCheck(from);
  copyByWidth(target, source, length);
  if (to.kind() == Memory::Kind::device) to.cpuAccess(length, true);
  if (from.kind() == Memory::Kind::device) from.cpuAccess(length, false);
  if (Status status = fromCheck.result(); !status.ok()) return status;
  return toCheck.result();
}

Result<int64_t> cpuCompare(const Memory& a, size_t aOffset, const Memory& b, size_t bOffset,
                           size_t length) {
  const PresenceCheck aCheck(a);
  const PresenceCheck bCheck(b);
  const int64_t at = findDifference(a.data() + aOffset, b.data() + bOffset, length);
  if (Status status = aCheck.result(); !status.ok()) return status.take();
  if (Status status = bCheck.result(); !status.ok()) return status.take();
  return at;
}

}  // namespace p2pmem
