// A PCI function that this process owns.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/region.h"
#include "core/status.h"
#include "core/unique_fd.h"

namespace p2pmem {

/// Region numbers, as linux/vfio.h has them: BAR 0 to 5, ROM, configuration space.
enum RegionIndex : uint32_t { kBar0 = 0, kBar5 = 5, kRom = 6, kConfig = 7 };

/// What may befall a device, beside its own interrupts.
enum class DeviceEvent {
  error,    // it has reported an uncorrectable error (PCIe 6.0 §6.2)
  request,  // the kernel wants it back: it is to be closed
};

struct DeviceInfo {
  bool resettable = false;
  uint32_t msixVectors = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// PCI address, "0000:03:00.0".
  const std::string& address() const { return address_; }
  const DeviceInfo& info() const { return info_; }

  /// `index` as in RegionIndex. Errors: BAD_RANGE.
  virtual Result<std::shared_ptr<Region>> region(uint32_t index) = 0;

  /// Function-level reset, or what the platform has in its place. Bus mastering is off afterwards;
  /// mappings of this device's BARs count as revoked. Errors: NOT_RESETTABLE, DEVICE_GONE, IO.
  virtual Status reset() = 0;

  /// Routes MSI-X vector `vector` to an eventfd (-1: none). Errors: BAD_RANGE, IO.
  virtual Status setInterrupt(uint32_t vector, int eventFd) = 0;

  /// Signals an eventfd (-1: none) when the event occurs. Errors: UNSUPPORTED, IO.
  virtual Status setEvent(DeviceEvent event, int eventFd) = 0;

  /// Part of a BAR, in whole pages, as a dma-buf (linux/dma-buf.h) that other devices' drivers may
  /// import; revoked when the device is reset, stops decoding, or is closed. Errors: NO_DMABUF
  /// (before Linux 6.19), BAD_RANGE, DEVICE_GONE, IO.
  virtual Result<UniqueFd> exportDmabuf(uint32_t region, uint64_t offset, uint64_t length);

  /// Bus mastering (PCI command register, bit 2; memory decode, bit 1, is left on). Errors:
  /// DEVICE_GONE, IO.
  Status setBusMaster(bool on);

  /// Shows the device again in mapped memory that vanished; see Memory::isGone(). Errors:
  /// DEVICE_GONE, IO.
  Status restore();

 protected:
  explicit Device(std::string address) : address_(std::move(address)) {}

  /// restore(), with memory decode on.
  virtual Status restoreMappings() { return {}; }

  DeviceInfo info_;

 private:
  /// Errors: DEVICE_GONE, IO.
  Result<uint64_t> readCommand();

  std::string address_;
};

}  // namespace p2pmem
