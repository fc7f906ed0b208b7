#include "core/huge_pages.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>

namespace p2pmem {

void* mapAligned(size_t size, int flags, int fd) {
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  size = roundUp(size, kSmallPage);
  if (size < kHugePage) return mmap(nullptr, size, kProtection, flags, fd, 0);
  const size_t room = size + kHugePage - kSmallPage;
  void* area = mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) return MAP_FAILED;
  const auto start = reinterpret_cast<uintptr_t>(area);
  const uintptr_t aligned = roundUp(start, kHugePage);
  void* data = mmap(reinterpret_cast<void*>(aligned), size, kProtection, flags | MAP_FIXED, fd, 0);
  if (data == MAP_FAILED) {
    const int error = errno;
    munmap(area, room);
    errno = error;
    return MAP_FAILED;
  }
  if (aligned > start) munmap(area, aligned - start);
  if (const size_t tail = room - (aligned - start) - size; tail > 0)
    munmap(reinterpret_cast<void*>(aligned + size), tail);
  return data;
}

}  // namespace p2pmem
