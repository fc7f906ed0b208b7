#include "vfio/bar_memory.h"

#include <sys/mman.h>

#include "vfio/refusal.h"

namespace p2pmem {

Result<std::shared_ptr<VfioBarMemory>> VfioBarMemory::map(int deviceFd, off_t offset, size_t size,
                                                          const std::string& address) {
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, deviceFd, offset);
  if (data == MAP_FAILED) {
    Error error =
        refusal("mmap", "cannot map " + std::to_string(size) + " bytes of a BAR", address);
    error.code = "NOT_MAPPABLE";
    return error;
  }
  std::shared_ptr<VfioBarMemory> memory(new VfioBarMemory(data, size, offset, address));
  auto range = VanishingRange::watch(data, size);
  if (!range.ok()) return range.take();
  memory->range_ = std::move(range.value());
  return memory;
}

VfioBarMemory::~VfioBarMemory() {
  range_.reset();  // before the addresses are another mapping's
  munmap(data(), size());
}

Status VfioBarMemory::restore(int deviceFd) {
  Status status = range_->restore(deviceFd, offset_);
  if (status.ok()) return status;
  Error error = status.take();
  error.device = address_;
  return error;
}

}  // namespace p2pmem
