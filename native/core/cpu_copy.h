// Copies and comparisons that the CPU makes, by design the slow and separate way (design:
// "CPU-clean path").
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/memory.h"
#include "core/status.h"

namespace p2pmem {

/// Copies `length` bytes. Errors: DEVICE_GONE, with parts of it copied. Between host memories this
/// is memcpy; where one side is device memory it goes in aligned 64-bit accesses (bytes at ragged
/// ends), since the width that memcpy picks is not defined and some BARs answer only to 8 bytes or
/// less. Bounds are the caller's to check.
Status cpuCopy(Memory& to, size_t toOffset, Memory& from, size_t fromOffset, size_t length);

/// Offset of the first byte that differs, or -1. Errors: DEVICE_GONE.
Result<int64_t> cpuCompare(const Memory& a, size_t aOffset, const Memory& b, size_t bOffset,
                           size_t length);

}  // namespace p2pmem
