// A region of a VFIO device: BARs by mmap where VFIO allows it, the rest by pread and pwrite.
// Either way a BAR that the device does not decode reads as ones and drops what is written.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/unique_fd.h"
#include "vfio/bar_memory.h"

namespace p2pmem {

class VfioRegion final : public Region {
 public:
  /// Region `index` of the device at PCI address `address`. Errors: BAD_RANGE.
  static Result<std::shared_ptr<VfioRegion>> create(std::shared_ptr<UniqueFd> device,
                                                    std::string address, uint32_t index);

  /// Lets go of the device; every access from now on is an error (CLOSED). Without it a region that
  /// somebody still holds would keep the device, and with it its group, open.
  void close();

  /// Shows the device again in all that map() gave out and that shows ones. Errors: DEVICE_GONE,
  /// IO.
  Status restore();

  Result<uint64_t> read(uint64_t offset, uint32_t width) override;
  Status write(uint64_t offset, uint32_t width, uint64_t value) override;
  Result<std::shared_ptr<Memory>> map(uint64_t offset, uint64_t length) override;

 private:
  VfioRegion(std::shared_ptr<UniqueFd> device, std::string address, uint32_t index, RegionInfo info,
             uint64_t fileOffset)
      : Region(index, std::move(info)),
        device_(std::move(device)),
        address_(std::move(address)),
        fileOffset_(fileOffset) {}

  /// pread or pwrite moved `moved` bytes of `width` at `offset`.
  Status checkMoved(const char* syscall, ssize_t moved, uint32_t width, uint64_t offset) const;
  /// pread or pwrite has failed since nobody decodes this BAR.
  bool isUndecoded(ssize_t moved) const;
  Status checkOpen() const;
  Result<std::shared_ptr<VfioBarMemory>> mapLocked(uint64_t offset, uint64_t length);

  struct Window {
    Extent extent;
    std::shared_ptr<VfioBarMemory> memory;

    volatile uint8_t* at(uint64_t offset) const {
      return memory->data() + (offset - extent.offset);
    }
  };

  /// By which [offset, offset + width) can be reached with a load or store; null where it cannot.
  const Window* window(uint64_t offset, uint32_t width);

  std::shared_ptr<UniqueFd> device_;
  std::string address_;
  uint64_t fileOffset_;
  std::mutex mutex_;
  std::vector<Window> windows_;  // mapped on first use
  std::vector<std::weak_ptr<VfioBarMemory>> mapped_;
};

}  // namespace p2pmem
