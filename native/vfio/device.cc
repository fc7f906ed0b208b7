#include "vfio/device.h"

#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "vfio/container.h"
#include "vfio/dmabuf.h"
#include "vfio/refusal.h"
#include "vfio/region.h"

namespace p2pmem {

namespace {

// Makes the listeners look: what the device signalled while its vectors were off, nobody heard.
// That nothing may have happened is allowed of any interrupt.
void signalAll(const std::vector<int>& eventFds) {
  // Fails only where the counter is full, and then the listener is awake anyway.
  for (const int eventFd : eventFds)
    if (eventFd >= 0) (void)eventfd_write(eventFd, 1);
}

}  // namespace

VfioDevice::VfioDevice(std::string address, UniqueFd fd, std::shared_ptr<VfioContainer> container)
    : Device(std::move(address)),
      container_(std::move(container)),
      fd_(std::make_shared<UniqueFd>(std::move(fd))) {}

VfioDevice::~VfioDevice() {
  // A device must not go on mastering the bus with nobody to own it. Closing the descriptor resets
  // it as well, where it can be reset at all.
  (void)setBusMaster(false);
  (void)disableVectors();
  for (const auto& [index, region] : regions_) region->close();
}

Result<std::shared_ptr<Device>> VfioDevice::create(std::string address, UniqueFd fd,
                                                   std::shared_ptr<VfioContainer> container) {
  const std::shared_ptr<VfioDevice> device(
      new VfioDevice(std::move(address), std::move(fd), std::move(container)));
  vfio_device_info info = {};
  info.argsz = sizeof info;
  if (ioctl(device->fd_->get(), VFIO_DEVICE_GET_INFO, &info) != 0)
    return refusal("ioctl(VFIO_DEVICE_GET_INFO)", "cannot read the device's properties",
                   device->address());
  device->info_.resettable = (info.flags & VFIO_DEVICE_FLAGS_RESET) != 0;
  vfio_irq_info interrupts = {};
  interrupts.argsz = sizeof interrupts;
  interrupts.index = VFIO_PCI_MSIX_IRQ_INDEX;
  if (ioctl(device->fd_->get(), VFIO_DEVICE_GET_IRQ_INFO, &interrupts) == 0)
    device->info_.msixVectors = interrupts.count;
  return std::shared_ptr<Device>(device);
}

Result<std::shared_ptr<Region>> VfioDevice::region(uint32_t index) {
  const std::lock_guard lock(mutex_);
  auto& known = regions_[index];
  if (!known) {
    auto region = VfioRegion::create(fd_, address(), index);
    if (!region.ok()) return region.take();
    known = std::move(region.value());
  }
  return std::shared_ptr<Region>(known);
}

Status VfioDevice::reset() {
  if (!info_.resettable)
    return Error{.code = "NOT_RESETTABLE",
                 .message = address() + " cannot be reset by itself",
                 .device = address()};
  if (ioctl(fd_->get(), VFIO_DEVICE_RESET) != 0)
    return refusal("ioctl(VFIO_DEVICE_RESET)", "cannot reset " + address(), address());
  return setBusMaster(false);
}

Status VfioDevice::setInterrupt(uint32_t vector, int eventFd) {
  if (vector >= info_.msixVectors)
    return Error{.code = "BAD_RANGE",
                 .message = address() + " has " + std::to_string(info_.msixVectors) +
                            " MSI-X vectors, not one with number " + std::to_string(vector),
                 .device = address()};
  const std::lock_guard lock(mutex_);
  if (vector < eventFds_.size()) {
    if (Status status = setEventFds(VFIO_PCI_MSIX_IRQ_INDEX, vector, {eventFd}); !status.ok())
      return status;
    eventFds_[vector] = eventFd;
    return {};
  }
  if (eventFd < 0) return {};
  // Vectors beyond those enabled: before Linux 6.5 none could be added, so start again with more.
  std::vector<int> all = eventFds_;
  all.resize(vector + 1, -1);
  all[vector] = eventFd;
  const std::vector<int> before = eventFds_;
  if (Status status = disableVectors(); !status.ok()) return status;
  if (Status status = setEventFds(VFIO_PCI_MSIX_IRQ_INDEX, 0, all); !status.ok()) {
    // The handlers that were there must not die of it.
    if (!before.empty() && setEventFds(VFIO_PCI_MSIX_IRQ_INDEX, 0, before).ok()) eventFds_ = before;
    signalAll(before);
    return status;
  }
  eventFds_ = std::move(all);
  signalAll(before);
  return {};
}

Status VfioDevice::setEvent(DeviceEvent event, int eventFd) {
  const bool isError = event == DeviceEvent::error;
  const uint32_t index = isError ? VFIO_PCI_ERR_IRQ_INDEX : VFIO_PCI_REQ_IRQ_INDEX;
  vfio_irq_info info = {};
  info.argsz = sizeof info;
  info.index = index;
  // vfio_pci_ioctl_get_irq_info(): older kernels hear of errors from PCI Express devices only.
  if (ioctl(fd_->get(), VFIO_DEVICE_GET_IRQ_INFO, &info) != 0 || info.count == 0)
    return Error{.code = "UNSUPPORTED",
                 .message = "the kernel reports no " +
                            std::string(isError ? "errors" : "requests") + " of " + address(),
                 .syscall = "ioctl(VFIO_DEVICE_GET_IRQ_INFO)",
                 .device = address()};
  const std::lock_guard lock(mutex_);
  return setEventFds(index, 0, {eventFd});
}

Result<UniqueFd> VfioDevice::exportDmabuf(uint32_t index, uint64_t offset, uint64_t length) {
  constexpr uint64_t kPage = 4096;
  auto bar = region(index);
  if (!bar.ok()) return bar.take();
  const uint64_t size = bar.value()->info().size;
  if (index > kBar5 || length == 0 || offset % kPage != 0 || length % kPage != 0 || length > size ||
      offset > size - length)
    return Error{.code = "BAD_RANGE",
                 .message = std::to_string(length) + " bytes at offset " + std::to_string(offset) +
                            " of region " + std::to_string(index) + " of " + address() +
                            " are not whole pages of a BAR; it has " + std::to_string(size) +
                            " bytes",
                 .device = address(),
                 .hint = "give a multiple of 4096 for the offset and for the length"};
  auto config = region(kConfig);
  if (!config.ok()) return config.take();
  if (Status status = checkExportable(*config.value(), *bar.value(), address(), offset, length);
      !status.ok())
    return status.take();
  return exportRange(fd_->get(), address(), index, offset, length);
}

Status VfioDevice::restoreMappings() {
  const std::lock_guard lock(mutex_);
  for (const auto& [index, region] : regions_)
    if (Status status = region->restore(); !status.ok()) return status;
  return {};
}

Status VfioDevice::setEventFds(uint32_t index, uint32_t start, const std::vector<int>& eventFds) {
  std::vector<uint8_t> room(sizeof(vfio_irq_set) + eventFds.size() * sizeof(int));
  auto* request = reinterpret_cast<vfio_irq_set*>(room.data());
  request->argsz = static_cast<uint32_t>(room.size());
  request->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
  request->index = index;
  request->start = start;
  request->count = static_cast<uint32_t>(eventFds.size());
  memcpy(request->data, eventFds.data(), eventFds.size() * sizeof(int));
  const int result = ioctl(fd_->get(), VFIO_DEVICE_SET_IRQS, request);
  if (result < 0)
    return refusal("ioctl(VFIO_DEVICE_SET_IRQS)", "cannot set an interrupt", address());
  if (result > 0)
    return Error{.code = "IO",
                 .message = "the kernel has only " + std::to_string(result) +
                            " interrupt vectors left for " + address(),
                 .syscall = "ioctl(VFIO_DEVICE_SET_IRQS)",
                 .device = address(),
                 .hint = "use fewer vectors"};
  return {};
}

Status VfioDevice::disableVectors() {
  if (eventFds_.empty()) return {};
  vfio_irq_set request = {};
  request.argsz = sizeof request;
  request.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
  request.index = VFIO_PCI_MSIX_IRQ_INDEX;
  if (ioctl(fd_->get(), VFIO_DEVICE_SET_IRQS, &request) != 0)
    return refusal("ioctl(VFIO_DEVICE_SET_IRQS)", "cannot disable the interrupts", address());
  eventFds_.clear();
  return {};
}

}  // namespace p2pmem
