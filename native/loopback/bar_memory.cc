#include "loopback/bar_memory.h"

#include <sys/mman.h>

namespace p2pmem::loopback {

Result<std::shared_ptr<BarMemory>> BarMemory::map(std::shared_ptr<Machine> machine,
                                                  Endpoint& endpoint, const Bar& bar,
                                                  uint64_t offset, uint64_t size) {
  const BarRam::Place place = bar.memory->place(BarAnswer::device, offset);
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, place.fd, place.offset);
  if (data == MAP_FAILED) {
    Error error = systemError("NOT_MAPPABLE", "mmap",
                              "cannot map " + std::to_string(size) + " bytes of a BAR");
    error.device = endpoint.address;
    return error;
  }
  auto range = VanishingRange::watch(data, size);
  if (!range.ok()) {
    munmap(data, size);
    return range.take();
  }
  std::shared_ptr<BarMemory> memory(
      new BarMemory(std::move(machine), endpoint, bar, data, offset, size));
  memory->range_ = std::move(range.value());
  endpoint.mapped().add(*memory);
  memory->present(endpoint.answer(bar));
  return memory;
}

BarMemory::~BarMemory() {
  endpoint_.mapped().remove(*this);
  range_.reset();  // before the addresses are another mapping's
  munmap(data(), size());
}

void BarMemory::present(BarAnswer answer) {
  if (answer == answer_) return;
  answer_ = answer;
  // Whoever has found nobody there keeps the pages of ones until restore().
  if (answer != BarAnswer::nobody && isGone()) return;
  const BarRam::Place place = ram_->place(answer, offset_);
  // Where the kernel has no room for it the BAR stays as it was, and there is nobody to tell.
  (void)mapOver(data(), size(), place.fd, place.offset);
}

Status BarMemory::restore() {
  if (answer_ == BarAnswer::nobody)
    return Error{.code = "DEVICE_GONE",
                 .message = endpoint_.address + " does not answer",
                 .device = endpoint_.address};
  const BarRam::Place place = ram_->place(answer_, offset_);
  Status status = range_->restore(place.fd, place.offset);
  if (status.ok()) return status;
  Error error = status.take();
  error.device = endpoint_.address;
  return error;
}

}  // namespace p2pmem::loopback
