#include "loopback/loopback_device.h"

#include <fcntl.h>

#include "core/huge_pages.h"
#include "loopback/dmabuf.h"
#include "loopback/loopback_region.h"

namespace p2pmem::loopback {

namespace {

// A descriptor of our own, as the kernel takes its own reference; none where there is none.
Result<UniqueFd> keep(int eventFd) {
  if (eventFd < 0) return UniqueFd();
  UniqueFd fd(fcntl(eventFd, F_DUPFD_CLOEXEC, 0));
  if (!fd) return systemError("IO", "fcntl(F_DUPFD_CLOEXEC)", "cannot keep the eventfd");
  return fd;
}

}  // namespace

LoopbackDevice::LoopbackDevice(std::shared_ptr<Machine> machine, Endpoint& endpoint, uint64_t owner)
    : Device(endpoint.address), machine_(std::move(machine)), endpoint_(endpoint), owner_(owner) {
  info_ = {.resettable = true, .msixVectors = endpoint.msixVectors()};
}

LoopbackDevice::~LoopbackDevice() {
  const MachineLock::Guard guard(machine_->lock());
  machine_->release(endpoint_);
}

Result<std::shared_ptr<Region>> LoopbackDevice::region(uint32_t index) {
  if (index > kConfig)
    return Error{.code = "BAD_RANGE",
                 .message = "a device has no region " + std::to_string(index),
                 .device = address()};
  return std::shared_ptr<Region>(new LoopbackRegion(machine_, endpoint_, owner_, index));
}

Status LoopbackDevice::reset() {
  const MachineLock::Guard guard(machine_->lock());
  if (endpoint_.removed)
    return Error{.code = "IO",
                 .message = "cannot reset " + address() + ": it is not there any more",
                 .device = address()};
  const bool done = endpoint_.tryReset();
  machine_->invalidate();
  if (done) return {};
  return Error{.code = "IO",
               .message = "cannot reset " + address() + ": it does not come back",
               .device = address()};
}

Status LoopbackDevice::setInterrupt(uint32_t vector, int eventFd) {
  if (vector >= endpoint_.msixVectors())
    return Error{.code = "BAD_RANGE",
                 .message = address() + " has no MSI-X vector " + std::to_string(vector),
                 .device = address()};
  auto fd = keep(eventFd);
  if (!fd.ok()) return fd.take();
  const MachineLock::Guard guard(machine_->lock());
  endpoint_.setInterrupt(vector, std::move(fd.value()));
  return {};
}

Status LoopbackDevice::setEvent(DeviceEvent event, int eventFd) {
  auto fd = keep(eventFd);
  if (!fd.ok()) return fd.take();
  const MachineLock::Guard guard(machine_->lock());
  endpoint_.setEvent(event, std::move(fd.value()));
  return {};
}

Result<UniqueFd> LoopbackDevice::exportDmabuf(uint32_t region, uint64_t offset, uint64_t length) {
  const auto refuse = [&](const std::string& why) {
    return Error{.code = "BAD_RANGE", .message = why, .device = address()};
  };
  if (region > kBar5 || endpoint_.bars[region].size == 0)
    return refuse(address() + " has no BAR " + std::to_string(region));
  const Bar& bar = endpoint_.bars[region];
  if (offset % kSmallPage != 0 || length % kSmallPage != 0 || length == 0)
    return refuse("a dma-buf is made of whole pages");
  const uint64_t at = offset - bar.memoryOffset;
  if (at > bar.memorySize || length > bar.memorySize - at)
    return refuse("BAR " + std::to_string(region) + " of " + address() + " has memory from " +
                  std::to_string(bar.memoryOffset) + " on, " + std::to_string(bar.memorySize) +
                  " bytes; registers are not exported");
  const MachineLock::Guard guard(machine_->lock());
  if (endpoint_.answer(bar) == BarAnswer::nobody)
    return Error{.code = "DEVICE_GONE",
                 .message = "cannot export memory of " + address() + ": it does not answer",
                 .device = address()};
  auto exported = std::make_shared<DmabufExport>(machine_, endpoint_, bar, at, length);
  endpoint_.addExport(exported);
  return publishDmabuf(std::move(exported));
}

Status LoopbackDevice::restoreMappings() {
  const MachineLock::Guard guard(machine_->lock());
  return endpoint_.restoreBars();
}

}  // namespace p2pmem::loopback
