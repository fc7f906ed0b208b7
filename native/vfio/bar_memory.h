// A mapped part of a BAR that VFIO owns.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "core/bus_error.h"
#include "core/memory.h"

namespace p2pmem {

class VfioBarMemory final : public Memory {
 public:
  /// Maps `size` bytes at `offset` of the device's file. Errors: NOT_MAPPABLE, NO_MEMORY, IO.
  static Result<std::shared_ptr<VfioBarMemory>> map(int deviceFd, off_t offset, size_t size,
                                                    const std::string& address);
  ~VfioBarMemory() override;

  std::string device() const override { return address_; }
  uint64_t losses() const override { return range_->losses(); }

  /// Shows the device again where it shows ones. Errors: DEVICE_GONE, IO.
  Status restore(int deviceFd);

 private:
  VfioBarMemory(void* data, size_t size, off_t offset, std::string address)
      : Memory(Kind::device, data, size), offset_(offset), address_(std::move(address)) {}

  off_t offset_;
  std::string address_;
  std::unique_ptr<VanishingRange> range_;
};

}  // namespace p2pmem
