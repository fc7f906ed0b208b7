// A region of a VFIO device: BARs by mmap where VFIO allows it, the rest by pread and pwrite.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/unique_fd.h"

namespace p2pmem {

class VfioRegion final : public Region {
 public:
  /// Region `index` of the device at PCI address `address`. Errors: BAD_RANGE.
  static Result<std::shared_ptr<VfioRegion>> create(std::shared_ptr<UniqueFd> device,
                                                    std::string address, uint32_t index);

  /// Lets go of the device; every access from now on is an error (CLOSED). Without it a region that
  /// somebody still holds would keep the device, and with it its group, open.
  void close();

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
  Status checkOpen() const;
  Result<std::shared_ptr<Memory>> mapLocked(uint64_t offset, uint64_t length);
  /// Where [offset, offset + width) can be reached by a load or store; null where it cannot.
  volatile uint8_t* registers(uint64_t offset, uint32_t width);

  struct Window {
    Extent extent;
    std::shared_ptr<Memory> memory;
  };

  std::shared_ptr<UniqueFd> device_;
  std::string address_;
  uint64_t fileOffset_;
  std::mutex mutex_;
  std::vector<Window> windows_;  // mapped on first use
};

}  // namespace p2pmem
