#include "vfio/container.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <vector>

#include "vfio/device.h"
#include "vfio/refusal.h"
#include "vfio/sysfs.h"

namespace p2pmem {

namespace {

constexpr const char* kNoVfioHint = "load the driver: modprobe vfio-pci";
constexpr const char* kInterruptsHint =
    "its interrupts cannot be isolated: switch interrupt remapping on in the firmware, or accept "
    "the risk: modprobe vfio_iommu_type1 allow_unsafe_interrupts=1";

// open() of one of VFIO's files.
Result<UniqueFd> openVfioFile(const std::string& path, const std::string& device) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (fd) return fd;
  const int number = errno;
  const char* code = "IO";
  std::string hint;
  if (number == ENOENT || number == ENODEV || number == ENXIO) {
    code = "NO_VFIO";
    hint = kNoVfioHint;
  } else if (number == EACCES || number == EPERM) {
    code = "PERMISSION";
    hint = "run as root, or give yourself the file: chown $USER " + path;
  } else if (number == EBUSY) {
    code = "IN_USE";
    hint = "another process has it open: fuser -v " + path;
  }
  errno = number;
  Error error = systemError(code, "open", "cannot open " + path);
  error.device = device;
  error.hint = hint;
  return error;
}

// Calls ioctl(GET_INFO) with as much room as the kernel wants for its capability chain.
template <class Info>
bool getInfo(int fd, unsigned long request, std::vector<uint8_t>& room) {
  room.assign(sizeof(Info), 0);
  for (;;) {
    auto* info = reinterpret_cast<Info*>(room.data());
    info->argsz = static_cast<uint32_t>(room.size());
    if (ioctl(fd, request, info) != 0) return false;
    if (info->argsz <= room.size()) return true;
    room.assign(info->argsz, 0);
  }
}

std::string memlockLimit() {
  rlimit limit = {};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  return limit.rlim_cur == RLIM_INFINITY ? "unlimited"
                                         : std::to_string(limit.rlim_cur / 1024) + " KiB";
}

}  // namespace

Result<std::shared_ptr<AddressSpace>> VfioContainer::open() {
  auto fd = openVfioFile("/dev/vfio/vfio", "");
  if (!fd.ok()) return fd.take();
  const int version = ioctl(fd.value().get(), VFIO_GET_API_VERSION);
  if (version != VFIO_API_VERSION ||
      ioctl(fd.value().get(), VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1)
    return Error{.code = "NO_VFIO",
                 .message = "this kernel's VFIO has no type1 IOMMU support",
                 .syscall = "ioctl(VFIO_CHECK_EXTENSION)",
                 .hint = "modprobe vfio_iommu_type1, and boot with the IOMMU on"};
  return std::shared_ptr<AddressSpace>(new VfioContainer(std::move(fd.value())));
}

Result<int> VfioContainer::group(int number, const std::string& address) {
  if (const auto known = groups_.find(number); known != groups_.end()) return known->second.get();
  auto opened = openVfioFile("/dev/vfio/" + std::to_string(number), address);
  if (!opened.ok()) return opened.take();
  UniqueFd fd = std::move(opened.value());

  vfio_group_status status = {.argsz = sizeof status, .flags = 0};
  if (ioctl(fd.get(), VFIO_GROUP_GET_STATUS, &status) != 0)
    return refusal("ioctl(VFIO_GROUP_GET_STATUS)", "cannot read the group's status", address);
  if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
    const std::string others = sysfs::describeOutsiders(number);
    return Error{.code = "GROUP_NOT_VIABLE",
                 .message = "IOMMU group " + std::to_string(number) + " is shared with " + others +
                            ", which VFIO does not own",
                 .syscall = "ioctl(VFIO_GROUP_GET_STATUS)",
                 .device = address,
                 .hint = "npx p2pmem bind --group " + address + " binds all of it"};
  }
  const int container = fd_.get();
  if (ioctl(fd.get(), VFIO_GROUP_SET_CONTAINER, &container) != 0) {
    const char* hint = kKernelLogHint;
    // vfio_iommu_type1_attach_group(): its reserved ranges meet mappings that are there, or its
    // IOMMU cannot isolate interrupts.
    if (errno == EINVAL)
      hint =
          "its IOMMU cannot take the mappings that are there: open all devices before any buffer";
    if (errno == EPERM) hint = kInterruptsHint;
    return refusal("ioctl(VFIO_GROUP_SET_CONTAINER)",
                   "cannot attach IOMMU group " + std::to_string(number), address, hint);
  }
  if (!hasIommu_ && ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) != 0) {
    return refusal("ioctl(VFIO_SET_IOMMU)", "cannot set up the IOMMU", address,
                   errno == EPERM ? kInterruptsHint : kKernelLogHint);
  }
  hasIommu_ = true;
  return groups_.emplace(number, std::move(fd)).first->second.get();
}

Result<std::shared_ptr<Device>> VfioContainer::openDevice(const std::string& address) {
  const std::lock_guard lock(mutex_);
  // The kernel would open it again, and two owners would get in each other's way.
  if (const auto known = devices_.find(address);
      known != devices_.end() && !known->second.expired())
    return Error{.code = "IN_USE",
                 .message = address + " is open already",
                 .device = address,
                 .hint = "a session opens each device once: use that"};
  auto number = sysfs::vfioGroupOf(address);
  if (!number.ok()) return number.take();
  auto groupFd = group(number.value(), address);
  if (!groupFd.ok()) return groupFd.take();
  UniqueFd fd(ioctl(groupFd.value(), VFIO_GROUP_GET_DEVICE_FD, address.c_str()));
  if (!fd) {
    const char* hint = kKernelLogHint;
    if (errno == EBUSY) hint = "another process has it open";
    if (errno == EACCES)
      hint = "a virtual function needs its token, which p2pmem has no option for";
    return refusal("ioctl(VFIO_GROUP_GET_DEVICE_FD)", "cannot open " + address, address, hint);
  }
  auto device = VfioDevice::create(address, std::move(fd), shared_from_this());
  if (device.ok()) devices_[address] = device.value();
  return device;
}

Result<AddressSpaceInfo> VfioContainer::info() {
  std::vector<uint8_t> room;
  if (const std::lock_guard lock(mutex_); !hasIommu_)
    return Error{.code = "NO_DEVICE",
                 .message = "the container knows its limits only once a device is attached",
                 .hint = "open a device first"};
  if (!getInfo<vfio_iommu_type1_info>(fd_.get(), VFIO_IOMMU_GET_INFO, room))
    return refusal("ioctl(VFIO_IOMMU_GET_INFO)", "cannot read the IOMMU's limits", "");
  const auto* facts = reinterpret_cast<const vfio_iommu_type1_info*>(room.data());
  AddressSpaceInfo result;
  if (facts->flags & VFIO_IOMMU_INFO_PGSIZES) result.pageSizes = facts->iova_pgsizes;
  if (!(facts->flags & VFIO_IOMMU_INFO_CAPS)) return result;
  for (uint32_t at = facts->cap_offset; at != 0;) {
    const auto* header = reinterpret_cast<const vfio_info_cap_header*>(room.data() + at);
    if (header->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
      const auto* ranges =
          reinterpret_cast<const vfio_iommu_type1_info_cap_iova_range*>(room.data() + at);
      for (uint32_t i = 0; i < ranges->nr_iovas; i++)
        result.ranges.push_back({ranges->iova_ranges[i].start, ranges->iova_ranges[i].end});
    } else if (header->id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
      result.mappingsAvailable =
          reinterpret_cast<const vfio_iommu_type1_info_dma_avail*>(room.data() + at)->avail;
    }
    at = header->next;
  }
  return result;
}

Status VfioContainer::doMap(Memory& memory, uint64_t offset, uint64_t length, uint64_t iova,
                            Access access) {
  vfio_iommu_type1_dma_map request = {};
  request.argsz = sizeof request;
  request.flags =
      (access.read ? VFIO_DMA_MAP_FLAG_READ : 0) | (access.write ? VFIO_DMA_MAP_FLAG_WRITE : 0);
  request.vaddr = reinterpret_cast<uintptr_t>(memory.data()) + offset;
  request.iova = iova;
  request.size = length;
  if (ioctl(fd_.get(), VFIO_IOMMU_MAP_DMA, &request) == 0) return {};
  const int number = errno;
  Error error = refusal(
      "ioctl(VFIO_IOMMU_MAP_DMA)",
      "cannot map " + std::to_string(length) + " bytes at IOVA " + std::to_string(iova), "");
  switch (number) {
    case ENOMEM:  // vfio_pin_pages_remote() answers so past RLIMIT_MEMLOCK
      error.code = "MEMLOCK";
      error.hint = "the limit on locked memory (RLIMIT_MEMLOCK) is " + memlockLimit() +
                   ": raise it with `ulimit -l`, or run with CAP_IPC_LOCK";
      break;
    case EEXIST:
      error.code = "IOVA_IN_USE";
      break;
    case ENOSPC:
      error.code = "MAPPING_LIMIT";
      error.hint = "raise the module parameter vfio_iommu_type1.dma_entry_limit";
      break;
    case EINVAL:
      error.code = "IOVA_RANGE";
      error.hint = "the IOVA is outside of what this IOMMU can map";
      break;
    case EFAULT:  // follow_fault_pfn(): nothing behind the BAR's pages
      if (memory.kind() == Memory::Kind::device) error.code = "DEVICE_GONE";
      error.hint = "the device's memory decode is off, or it is gone";
      break;
    default:
      break;
  }
  return error;
}

Status VfioContainer::doUnmap(uint64_t iova, uint64_t length) {
  vfio_iommu_type1_dma_unmap request = {};
  request.argsz = sizeof request;
  request.iova = iova;
  request.size = length;
  if (ioctl(fd_.get(), VFIO_IOMMU_UNMAP_DMA, &request) != 0)
    return refusal("ioctl(VFIO_IOMMU_UNMAP_DMA)", "cannot unmap IOVA " + std::to_string(iova), "");
  // The kernel answers with what it has unmapped; success with less would leave memory reachable.
  if (request.size != length)
    return Error{.code = "NOT_MAPPED",
                 .message = "the kernel unmapped " + std::to_string(request.size) + " of " +
                            std::to_string(length) + " bytes at IOVA " + std::to_string(iova),
                 .syscall = "ioctl(VFIO_IOMMU_UNMAP_DMA)"};
  return {};
}

}  // namespace p2pmem
