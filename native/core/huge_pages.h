// Memory that may be made of 2 MiB pages.
#pragma once

#include <cstddef>

namespace p2pmem {

constexpr size_t kSmallPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;

constexpr size_t roundUp(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

/// mmap(2), readable and writable, at an address that is aligned to a huge page where there is at
/// least one: `size` in bytes, `flags` without MAP_FIXED, `fd` -1 with MAP_ANONYMOUS. MAP_FAILED,
/// with errno.
void* mapAligned(size_t size, int flags, int fd);

}  // namespace p2pmem
