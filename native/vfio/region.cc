#include "vfio/region.h"

#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "core/device.h"
#include "vfio/refusal.h"

namespace p2pmem {

namespace {

uint64_t ones(uint32_t width) { return ~uint64_t{0} >> (64 - 8 * width); }

uint64_t load(const volatile uint8_t* at, uint32_t width) {
  switch (width) {
    case 1:
      return *at;
    case 2:
      return *reinterpret_cast<const volatile uint16_t*>(at);
    case 4:
      return *reinterpret_cast<const volatile uint32_t*>(at);
    default:
      return *reinterpret_cast<const volatile uint64_t*>(at);
  }
}

void store(volatile uint8_t* at, uint32_t width, uint64_t value) {
  switch (width) {
    case 1:
      *at = static_cast<uint8_t>(value);
      break;
    case 2:
      *reinterpret_cast<volatile uint16_t*>(at) = static_cast<uint16_t>(value);
      break;
    case 4:
      *reinterpret_cast<volatile uint32_t*>(at) = static_cast<uint32_t>(value);
      break;
    default:
      *reinterpret_cast<volatile uint64_t*>(at) = value;
  }
}

// The parts of a BAR that may be mapped: all of it, or what the sparse-mmap capability lists (a
// kernel before 4.16 leaves out the pages of the MSI-X table).
std::vector<Extent> mappableParts(const std::vector<uint8_t>& room) {
  const auto* info = reinterpret_cast<const vfio_region_info*>(room.data());
  if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP) || info->size == 0) return {};
  std::vector<Extent> parts;
  bool sparse = false;
  for (uint32_t at = info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0; at != 0;) {
    const auto* header = reinterpret_cast<const vfio_info_cap_header*>(room.data() + at);
    if (header->id == VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
      sparse = true;
      const auto* areas =
          reinterpret_cast<const vfio_region_info_cap_sparse_mmap*>(room.data() + at);
      for (uint32_t i = 0; i < areas->nr_areas; i++)
        if (areas->areas[i].size > 0)
          parts.push_back({areas->areas[i].offset, areas->areas[i].size});
    }
    at = header->next;
  }
  if (!sparse) parts.push_back({0, info->size});
  return parts;
}

}  // namespace

Result<std::shared_ptr<VfioRegion>> VfioRegion::create(std::shared_ptr<UniqueFd> device,
                                                       std::string address, uint32_t index) {
  std::vector<uint8_t> room(sizeof(vfio_region_info));
  for (;;) {
    auto* info = reinterpret_cast<vfio_region_info*>(room.data());
    info->argsz = static_cast<uint32_t>(room.size());
    info->index = index;
    if (ioctl(device->get(), VFIO_DEVICE_GET_REGION_INFO, info) != 0) {
      Error error = refusal("ioctl(VFIO_DEVICE_GET_REGION_INFO)",
                            "there is no region " + std::to_string(index), address);
      error.code = "BAD_RANGE";
      return error;
    }
    if (info->argsz <= room.size()) break;
    room.assign(info->argsz, 0);  // room for the capabilities
  }
  const auto* info = reinterpret_cast<const vfio_region_info*>(room.data());
  RegionInfo facts{.size = info->size,
                   .readable = (info->flags & VFIO_REGION_INFO_FLAG_READ) != 0,
                   .writable = (info->flags & VFIO_REGION_INFO_FLAG_WRITE) != 0,
                   .mappable = mappableParts(room)};
  return std::shared_ptr<VfioRegion>(
      new VfioRegion(std::move(device), std::move(address), index, std::move(facts), info->offset));
}

void VfioRegion::close() {
  const std::lock_guard lock(mutex_);
  windows_.clear();
  device_.reset();
}

Status VfioRegion::checkOpen() const {
  if (device_) return {};
  return Error{
      .code = "CLOSED", .message = "the region's device is closed already", .device = address_};
}

Status VfioRegion::checkMoved(const char* syscall, ssize_t moved, uint32_t width,
                              uint64_t offset) const {
  if (moved == static_cast<ssize_t>(width)) return {};
  const std::string what = std::to_string(width) + " bytes at offset " + std::to_string(offset) +
                           " of region " + std::to_string(index());
  if (moved < 0) {
    const bool isGone = errno == ENODEV;  // pci_user_read_config_word() and its like
    Error error = refusal(syscall, "cannot access " + what, address_);
    if (isGone) error.code = "DEVICE_GONE";
    return error;
  }
  return Error{.code = "IO",
               .message = "moved only " + std::to_string(moved) + " of " + what,
               .syscall = syscall,
               .device = address_,
               .hint = kKernelLogHint};
}

// vfio_pci_core_do_io_rw() in drivers/vfio/pci/vfio_pci_rdwr.c: EIO, where memory decode is off.
bool VfioRegion::isUndecoded(ssize_t moved) const {
  return moved < 0 && errno == EIO && index() != kConfig;
}

const VfioRegion::Window* VfioRegion::window(uint64_t offset, uint32_t width) {
  const auto inside = [&](const Extent& extent) {
    return offset >= extent.offset && offset + width <= extent.offset + extent.length;
  };
  for (const Window& known : windows_)
    if (inside(known.extent)) return &known;
  for (const Extent& extent : info().mappable) {
    if (!inside(extent)) continue;
    auto memory = mapLocked(extent.offset, extent.length);
    if (!memory.ok()) return nullptr;  // pread and pwrite can do it, too
    windows_.push_back({extent, std::move(memory.value())});
    return &windows_.back();
  }
  return nullptr;
}

Result<uint64_t> VfioRegion::read(uint64_t offset, uint32_t width) {
  if (Status status = checkAccess(offset, width); !status.ok()) return status.take();
  const std::lock_guard lock(mutex_);
  if (Status status = checkOpen(); !status.ok()) return status.take();
  uint64_t value = 0;  // x86-64 is little endian, as PCI is
  if (const Window* mapped = window(offset, width)) {
    value = load(mapped->at(offset), width);
    // Not what lies there: an earlier store may have changed our page of ones.
    return mapped->memory->isGone() ? ones(width) : value;
  }
  const ssize_t moved =
      pread(device_->get(), &value, width, static_cast<off_t>(fileOffset_ + offset));
  if (isUndecoded(moved)) return ones(width);
  if (Status status = checkMoved("pread", moved, width, offset); !status.ok()) return status.take();
  return value;
}

Status VfioRegion::write(uint64_t offset, uint32_t width, uint64_t value) {
  if (Status status = checkAccess(offset, width); !status.ok()) return status;
  const std::lock_guard lock(mutex_);
  if (Status status = checkOpen(); !status.ok()) return status;
  if (const Window* mapped = window(offset, width)) {
    store(mapped->at(offset), width, value);
    return {};
  }
  const ssize_t moved =
      pwrite(device_->get(), &value, width, static_cast<off_t>(fileOffset_ + offset));
  if (isUndecoded(moved)) return {};
  return checkMoved("pwrite", moved, width, offset);
}

Result<std::shared_ptr<Memory>> VfioRegion::map(uint64_t offset, uint64_t length) {
  const std::lock_guard lock(mutex_);
  if (Status status = checkOpen(); !status.ok()) return status.take();
  auto memory = mapLocked(offset, length);
  if (!memory.ok()) return memory.take();
  return std::shared_ptr<Memory>(std::move(memory.value()));
}

Result<std::shared_ptr<VfioBarMemory>> VfioRegion::mapLocked(uint64_t offset, uint64_t length) {
  if (Status status = checkMap(offset, length); !status.ok()) return status.take();
  auto memory = VfioBarMemory::map(device_->get(), static_cast<off_t>(fileOffset_ + offset), length,
                                   address_);
  if (!memory.ok()) return memory;
  std::erase_if(mapped_, [](const auto& entry) { return entry.expired(); });
  mapped_.push_back(memory.value());
  return memory;
}

Status VfioRegion::restore() {
  const std::lock_guard lock(mutex_);
  if (Status status = checkOpen(); !status.ok()) return status;
  for (const auto& entry : mapped_)
    if (const auto memory = entry.lock())
      if (Status status = memory->restore(device_->get()); !status.ok()) return status;
  return {};
}

}  // namespace p2pmem
