#include "vfio/dmabuf.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstddef>

#include "vfio/refusal.h"

namespace p2pmem {

namespace {

// linux/vfio.h of Linux 6.19, which build machines may not have yet.
constexpr uint32_t kFeatureDmaBuf = 11;
struct DmaBufRange {
  uint64_t offset;
  uint64_t length;
};
struct DmaBufRequest {
  uint32_t argsz;  // this and the next one: vfio_device_feature
  uint32_t featureFlags;
  uint32_t regionIndex;
  uint32_t openFlags;
  uint32_t flags;
  uint32_t rangeCount;
  DmaBufRange range;
};
static_assert(sizeof(vfio_device_feature) == offsetof(DmaBufRequest, regionIndex));
static_assert(sizeof(DmaBufRequest) == 40 && offsetof(DmaBufRequest, range) == 24);

// PCI Local Bus 3.0 §6.1, §6.7, §6.8.2.
constexpr uint64_t kStatus = 0x06;
constexpr uint64_t kStatusCapabilities = 1 << 4;
constexpr uint64_t kClass = 0x08;
constexpr uint64_t kCapabilities = 0x34;
constexpr uint64_t kCapabilityMsix = 0x11;
constexpr uint64_t kMsixVectorBytes = 16;
constexpr uint32_t kNvmeClass = 0x010802;
// NVMe 2.0 §3.1.3.11, §3.1.3.12: where the controller memory buffer is, and how large.
constexpr uint64_t kCmbLocation = 0x38;
constexpr uint64_t kCmbSize = 0x3c;
constexpr uint64_t kPage = 4096;
constexpr int kMostCapabilities = 48;  // 192 bytes of them, 4 each at least

struct Interrupts {
  uint64_t table = 0;    // register, with the BAR in its lowest three bits
  uint64_t pending = 0;  // the same
  uint64_t vectors = 0;
};

/// Zero vectors: there is no MSI-X.
Result<Interrupts> readInterrupts(Region& config) {
  Status problem;
  const auto read = [&](uint64_t offset, uint32_t width) -> uint64_t {
    auto value = config.read(offset, width);
    if (value.ok()) return value.value();
    if (problem.ok()) problem = value.take();
    return 0;
  };
  Interrupts found;
  uint64_t at = read(kStatus, 2) & kStatusCapabilities ? read(kCapabilities, 1) & ~3u : 0;
  for (int left = kMostCapabilities; at != 0 && left > 0 && problem.ok(); left--) {
    const uint64_t header = read(at, 2);
    if ((header & 0xff) == kCapabilityMsix)
      found = {.table = read(at + 4, 4),
               .pending = read(at + 8, 4),
               .vectors = (read(at + 2, 2) & 0x7ff) + 1};
    at = (header >> 8) & ~uint64_t{3};
  }
  if (!problem.ok()) return problem.take();
  return found;
}

/// The controller memory buffer, where it lies in BAR 0, behind the registers; else nothing.
Result<Extent> readCmbOfRegisters(Region& registers) {
  auto location = registers.read(kCmbLocation, 4);
  if (!location.ok()) return location.take();
  auto size = registers.read(kCmbSize, 4);
  if (!size.ok()) return size.take();
  const uint64_t units = size.value() >> 8 & 0xf;
  // Ones: the device does not answer, and what it has is not known.
  if ((location.value() & 7) != 0 || units > 6) return Extent{};
  const uint64_t unit = uint64_t{4096} << 4 * units;
  return Extent{.offset = (location.value() >> 12) * unit, .length = (size.value() >> 12) * unit};
}

bool meetsPages(uint64_t offset, uint64_t length, uint64_t start, uint64_t bytes) {
  const uint64_t first = start / kPage * kPage;
  const uint64_t end = (start + bytes + kPage - 1) / kPage * kPage;
  return offset < end && first < offset + length;
}

Error reserved(const std::string& address, uint32_t bar, const char* what) {
  return {.code = "NOT_MAPPABLE",
          .message = "BAR " + std::to_string(bar) + " of " + address + " has " + what +
                     " in that range: no other device may reach it",
          .device = address,
          .hint = "export memory alone"};
}

}  // namespace

Status checkExportable(Region& config, Region& bar, const std::string& address, uint64_t offset,
                       uint64_t length) {
  const uint32_t index = bar.index();
  auto classCode = config.read(kClass, 4);
  if (!classCode.ok()) return classCode.take();
  if (index == 0 && classCode.value() >> 8 == kNvmeClass) {
    // Doorbells reach as far as the controller has queues: how many it has is its driver's to ask.
    auto cmb = readCmbOfRegisters(bar);
    if (!cmb.ok()) return cmb.take();
    const auto& [start, bytes] = cmb.value();
    if (start == 0 || offset < start || offset - start > bytes || length > bytes - (offset - start))
      return reserved(address, index, "the controller's registers");
  }
  auto found = readInterrupts(config);
  if (!found.ok()) return found.take();
  const Interrupts& interrupts = found.value();
  if (interrupts.vectors == 0) return {};
  const auto meets = [&](uint64_t place, uint64_t bytes) {
    return (place & 7) == index && meetsPages(offset, length, place & ~uint64_t{7}, bytes);
  };
  if (meets(interrupts.table, interrupts.vectors * kMsixVectorBytes))
    return reserved(address, index, "the MSI-X table");
  if (meets(interrupts.pending, (interrupts.vectors + 63) / 64 * 8))
    return reserved(address, index, "the MSI-X pending bits");
  return {};
}

Result<UniqueFd> exportRange(int device, const std::string& address, uint32_t bar, uint64_t offset,
                             uint64_t length) {
  constexpr const char* kCall = "ioctl(VFIO_DEVICE_FEATURE_DMA_BUF)";
  vfio_device_feature probe = {};
  probe.argsz = sizeof probe;
  probe.flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET | kFeatureDmaBuf;
  if (ioctl(device, VFIO_DEVICE_FEATURE, &probe) != 0) {
    Error error = refusal(kCall, "the kernel exports no memory of " + address + " as a dma-buf",
                          address, "VFIO has it from Linux 6.19 on, with CONFIG_VFIO_PCI_DMABUF");
    error.code = "NO_DMABUF";
    return error;
  }
  DmaBufRequest request = {};
  request.argsz = sizeof request;
  request.featureFlags = VFIO_DEVICE_FEATURE_GET | kFeatureDmaBuf;
  request.regionIndex = bar;
  request.openFlags = O_RDWR | O_CLOEXEC;
  request.rangeCount = 1;
  request.range = {.offset = offset, .length = length};
  const int fd = ioctl(device, VFIO_DEVICE_FEATURE, &request);
  if (fd >= 0) return UniqueFd(fd);
  const int number = errno;
  Error error = refusal(kCall,
                        "cannot export " + std::to_string(length) + " bytes at offset " +
                            std::to_string(offset) + " of BAR " + std::to_string(bar),
                        address);
  if (number == EINVAL) error.code = "BAD_RANGE";
  if (number == ENODEV) error.code = "DEVICE_GONE";
  if (number == EOPNOTSUPP || number == ENOTTY) error.code = "NO_DMABUF";
  return error;
}

}  // namespace p2pmem
