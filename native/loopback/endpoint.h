// A function that software can own and that can master the bus: what Device, Region and the device
// thread see of it. All methods are called with the machine's lock held.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/device.h"
#include "core/status.h"
#include "core/unique_fd.h"
#include "loopback/bar_mappings.h"
#include "loopback/configuration.h"
#include "loopback/dmabuf.h"
#include "loopback/iommu_domain.h"
#include "loopback/msix.h"
#include "loopback/pci_function.h"

namespace p2pmem::loopback {

/// Bus addresses that a device keeps to itself: the controller memory space of a CMB or a PMR.
struct InternalRange {
  uint64_t base = 0;
  uint64_t size = 0;
  uint8_t* data = nullptr;

  bool contains(uint64_t address) const { return address - base < size; }
};

class Endpoint : public PciFunction {
 public:
  static constexpr size_t kInternalCmb = 0;
  static constexpr size_t kInternalPmr = 1;

  /// Allocates what the device needs to run: the RAM of its BARs, its media. Done when it is first
  /// opened, since a machine's memory may be large. Errors: NO_MEMORY, IO.
  virtual Status prepare();

  /// Register access to the part of a BAR that is not RAM; aligned, 1 to 8 bytes.
  virtual uint64_t readRegister(uint32_t bar, uint64_t offset, uint32_t width);
  virtual void writeRegister(uint32_t bar, uint64_t offset, uint32_t width, uint64_t value);

  /// Back to the state after power-on, but for the contents of memory and media.
  virtual void reset();
  /// A reset that others ask for: of the function, or because its owner changes. False where it
  /// does not let itself be reset; then it masters the bus no more, and that is all.
  bool tryReset();

  /// True while it may have work without a register being written: the device thread polls it.
  virtual bool isActive() const { return false; }
  /// Threads that wait for it let others run meanwhile, as they may be more than there are
  /// processors: the device thread does so, too.
  virtual bool driverYields() const { return false; }
  /// Does what there is to do; false if there was nothing.
  virtual bool poll() { return false; }
  /// Called when the machine has been without work for a while.
  virtual void idle() {}

  /// Has the device do wrong, at once or when the fault says. Errors: BAD_MACHINE where it cannot.
  virtual Status inject(const Fault& fault);
  /// What has not happened yet will not.
  virtual void clearFaults() { refusesReset = false; }

  /// True once after software wrote Initiate Function Level Reset, which reads back as 0.
  bool takeFunctionLevelReset();

  BarAnswer answer(const Bar& bar) const {
    if (removed || !memoryDecode()) return BarAnswer::nobody;
    return bar.enabled ? BarAnswer::device : BarAnswer::undefined;
  }
  BarMappings& mapped() { return mapped_; }
  /// Has what is mapped of its BARs show what answers by now. To follow each change of that.
  void presentBars();
  /// Device::exportDmabuf(): revoked with the next reset, or when the function stops answering.
  void addExport(const std::shared_ptr<DmabufExport>& exported);
  void revokeExports();
  /// Device::restore(): what has found nobody finds the device again. Errors: DEVICE_GONE, IO.
  Status restoreBars();
  /// It is plugged in again after it was removed: another one of its kind, but for its media.
  void replug();

  /// Device::setEvent(); the descriptor is this function's own.
  void setEvent(DeviceEvent event, UniqueFd fd) { eventFd(event) = std::move(fd); }

  uint32_t msixVectors() const { return msix_.vectors(); }
  /// Device::setInterrupt(); the descriptor is this function's own.
  void setInterrupt(uint32_t vector, UniqueFd fd);
  /// Sends what is pending, if it may. To follow whatever unmasks.
  void sendPending();

  /// Who owns it now: a number that every open changes; 0 while it is closed.
  uint64_t owner = 0;
  std::shared_ptr<IommuDomain> domain;
  /// Changed by each reset: mappings of this function's BARs made before are dead (design:
  /// "Treat a reset as a revocation").
  uint64_t generation = 0;

  std::array<InternalRange, 2> internal;
  bool refusesReset = false;  // by a fault

 protected:
  explicit Endpoint(PciIdentity identity);

  /// Surprise removal: from now on nobody answers, and nothing of it reaches the bus.
  void remove();
  /// Its BARs stop answering, as after a reset by somebody else: memory decode goes off.
  void hideBars();
  void signal(DeviceEvent event);

  /// Adds the MSI-X capability, its table at `tableOffset` of BAR 0.
  void addMsix(uint32_t vectors, uint64_t tableOffset, uint64_t pbaOffset);
  Msix& msix() { return msix_; }
  const Msix& msix() const { return msix_; }
  void writeMsix(uint64_t offset, uint32_t value);
  void signal(uint32_t vector);
  /// An interrupt message went out.
  virtual void countInterrupt() {}

 private:
  UniqueFd& eventFd(DeviceEvent event) { return events_[static_cast<size_t>(event)]; }

  BarMappings mapped_;
  std::vector<std::weak_ptr<DmabufExport>> exports_;
  bool sendsMessages() const;
  bool isFunctionMasked() const;

  std::array<UniqueFd, 2> events_;  // eventfds, by DeviceEvent
  Msix msix_;
};

}  // namespace p2pmem::loopback
