// Device memory that can vanish. A CPU access to a mapped BAR raises SIGBUS while the device does
// not decode it (D3, memory decode off, hot-unplug): the fault handlers of
// drivers/vfio/pci/vfio_pci_core.c. Here the process catches that and puts pages of ones under the
// access, which is what hardware gives where nobody answers (PCIe 4.0 §2.3.2).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/status.h"

namespace p2pmem {

/// Maps a file over what is mapped there, so that no moment shows anything else. Errors: IO, and
/// all is as it was.
Status mapOver(void* data, size_t size, int fd, off_t offset);

/// A mapped range in which SIGBUS does not end the process. The handler belongs to the process, as
/// signals do: the first range installs it, and it stays. SIGBUS anywhere else goes to the handler
/// that was there before; without one it ends the process as ever.
class VanishingRange {
 public:
  /// For a range that has just been mapped. Errors: NO_MEMORY, IO.
  static Result<std::unique_ptr<VanishingRange>> watch(void* data, size_t size);

  /// Comes before the range's munmap(), since afterwards the addresses are the next mapping's, of
  /// which nothing may turn into ones. Nobody may use the range any more.
  ~VanishingRange();
  VanishingRange(const VanishingRange&) = delete;
  VanishingRange& operator=(const VanishingRange&) = delete;

  /// Changes with each access that finds nobody there. Its lowest bit is set from the first of them
  /// until restore(): what was read in between may be ones, what was written is lost.
  uint64_t losses() const { return losses_.load(); }

  /// Maps the file at `offset` in place of the pages of ones, at the same addresses. Errors:
  /// DEVICE_GONE, where an access found nobody meanwhile; IO.
  Status restore(int fd, off_t offset);

 private:
  struct List;  // of all ranges, for the handler

  VanishingRange(void* data, size_t size) : data_(static_cast<uint8_t*>(data)), size_(size) {}

  bool contains(const uint8_t* address) const {
    return address >= data_ && static_cast<size_t>(address - data_) < size_;
  }
  bool coverWithOnes(const uint8_t* address);

  uint8_t* const data_;
  const size_t size_;
  std::atomic<uint64_t> losses_{0};
  std::atomic<VanishingRange*> next_{nullptr};
};

}  // namespace p2pmem
