#include "core/memory.h"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>

#include "core/huge_pages.h"

namespace p2pmem {

Status PresenceCheck::result() const {
  // After every access that this is to judge.
  std::atomic_thread_fence(std::memory_order_acquire);
  if (memory_.losses() == losses_ && !memory_.isGone()) return {};
  const std::string device = memory_.device();
  return Error{.code = "DEVICE_GONE",
               .message = "the memory of " + device + " does not answer",
               .device = device,
               .hint = "it was reset, removed, or its memory decode is off"};
}

MappedMemory::~MappedMemory() { munmap(data(), size()); }

Result<std::shared_ptr<PinnedMemory>> PinnedMemory::allocate(size_t size, bool huge) {
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
  void* data = MAP_FAILED;
  size_t pageSize = kSmallPage;
  if (huge) {
    // MAP_POPULATE is no promise for hugepages, but the reservation made by mmap is.
    data = mmap(nullptr, roundUp(size, kHugePage), kProtection,
                kFlags | MAP_HUGETLB | MAP_POPULATE | (21 << MAP_HUGE_SHIFT), -1, 0);
    if (data != MAP_FAILED) pageSize = kHugePage;
  }
  size = roundUp(size, pageSize);
  if (data == MAP_FAILED) {
    // Aligned: an IOMMU mapping of 2 MiB needs address and IOVA aligned alike.
    data = mapAligned(size, kFlags, -1);
    if (data == MAP_FAILED)
      return systemError("NO_MEMORY", "mmap", "cannot allocate " + std::to_string(size) + " bytes");
    if (size >= kHugePage) madvise(data, size, MADV_HUGEPAGE);
    // Prefault: populate where the kernel can say that it failed (5.14), else touch every page.
    if (madvise(data, size, MADV_POPULATE_WRITE) != 0) {
      if (errno == ENOMEM || errno == EFAULT || errno == EHWPOISON) {
        Error error = systemError("NO_MEMORY", "madvise(MADV_POPULATE_WRITE)",
                                  "cannot prefault " + std::to_string(size) + " bytes");
        munmap(data, size);
        return error;
      }
      for (size_t at = 0; at < size; at += kSmallPage) static_cast<volatile uint8_t*>(data)[at] = 0;
    }
  }
  // A child that inherits pinned pages would, by copy on write, move them away under the device.
  madvise(data, size, MADV_DONTFORK);
  madvise(data, size, MADV_DONTDUMP);
  return std::shared_ptr<PinnedMemory>(new PinnedMemory(data, size, pageSize));
}

}  // namespace p2pmem
