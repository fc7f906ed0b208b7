#include "loopback/endpoint.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "loopback/bar_memory.h"

namespace p2pmem::loopback {

namespace {
constexpr uint32_t kMsixAt = 0x80;
}

Endpoint::Endpoint(PciIdentity identity) : PciFunction(FunctionKind::endpoint, identity) {
  config.setWritable(kExpressAt + pci::kExpressDeviceControl, 2, pci::kDeviceControlFlr);
}

bool Endpoint::takeFunctionLevelReset() {
  const uint32_t control = kExpressAt + pci::kExpressDeviceControl;
  const bool asked = config.read(control, 2) & pci::kDeviceControlFlr;
  config.set(control, 2, 0);
  return asked;
}

Status Endpoint::prepare() {
  for (Bar& bar : bars) {
    if (bar.memorySize == 0 || bar.memory) continue;
    auto memory = BarRam::allocate(bar.memorySize);
    if (!memory.ok()) {
      Error error = memory.take();
      error.device = address;
      return error;
    }
    bar.memory = std::move(memory.value());
  }
  return {};
}

uint64_t Endpoint::readRegister(uint32_t, uint64_t, uint32_t) { return 0; }

void Endpoint::writeRegister(uint32_t, uint64_t, uint32_t, uint64_t) {}

void Endpoint::reset() {
  generation++;
  // Interrupts stay as they are: the kernel sets up MSI-X again after a reset.
  config.set(pci::kCommand, 2, removed ? 0 : pci::kCommandMemory);
  presentBars();
}

bool Endpoint::tryReset() {
  if (!refusesReset) {
    reset();
    return true;
  }
  config.set(pci::kCommand, 2, config.read(pci::kCommand, 2) & ~pci::kCommandBusMaster);
  return false;
}

Status Endpoint::inject(const Fault& fault) {
  if (fault.on == Fault::Trigger::now) switch (fault.effect) {
      case Fault::Effect::remove:
        remove();
        return {};
      case Fault::Effect::vanish:
        hideBars();
        return {};
      case Fault::Effect::noReset:
        refusesReset = true;
        return {};
      case Fault::Effect::error:
        signal(DeviceEvent::error);
        return {};
      case Fault::Effect::request:
        signal(DeviceEvent::request);
        return {};
      default:
        break;
    }
  return Error{.code = "BAD_MACHINE",
               .message = address + " has no commands: only what befalls a device can happen, now",
               .device = address};
}

void Endpoint::remove() {
  removed = true;
  generation++;
  config.set(pci::kCommand, 2, 0);
  presentBars();
  // As the kernel does it: vfio-pci's remove() waits for whoever has the device.
  signal(DeviceEvent::request);
}

void Endpoint::replug() {
  mapped_.clear();  // what is mapped is the other one's, which is not there
  removed = refusesReset = false;
  reset();
  for (Bar& bar : bars)
    if (!bar.persistent) bar.memory.reset();
}

void Endpoint::presentBars() {
  mapped_.visit([&](BarMemory& memory) {
    memory.present(answer(memory.bar()));
    return true;
  });
}

Status Endpoint::restoreBars() {
  for (Bar& bar : bars) bar.lost = false;
  Status status;
  mapped_.visit([&](BarMemory& memory) {
    status = memory.restore();
    return status.ok();
  });
  return status;
}

void Endpoint::signal(DeviceEvent event) {
  if (const UniqueFd& fd = eventFd(event)) (void)eventfd_write(fd.get(), 1);
}

void Endpoint::hideBars() {
  generation++;
  config.set(pci::kCommand, 2, config.read(pci::kCommand, 2) & ~pci::kCommandMemory);
  presentBars();
}

void Endpoint::addMsix(uint32_t vectors, uint64_t tableOffset, uint64_t pbaOffset) {
  interrupts_.resize(vectors);
  config.addCapability(kMsixAt, pci::kCapabilityMsix);
  config.set(kMsixAt + pci::kMsixControl, 2, vectors - 1);
  config.set(kMsixAt + pci::kMsixTable, 4, tableOffset);  // bits 2:0: in BAR 0
  config.set(kMsixAt + pci::kMsixPba, 4, pbaOffset);
}

void Endpoint::setInterrupt(uint32_t vector, UniqueFd fd) {
  interrupts_[vector] = std::move(fd);
  const bool enabled = std::any_of(interrupts_.begin(), interrupts_.end(),
                                   [](const UniqueFd& each) { return static_cast<bool>(each); });
  // As VFIO does it: the first eventfd enables MSI-X, the last one to go disables it.
  config.set(kMsixAt + pci::kMsixControl, 2,
             (msixVectors() - 1) | (enabled ? pci::kMsixEnable : 0));
}

bool Endpoint::signal(uint32_t vector) {
  if (vector >= interrupts_.size() || !interrupts_[vector] || !busMaster()) return false;
  // Fails only where the counter is full, and then the listener is awake anyway.
  (void)eventfd_write(interrupts_[vector].get(), 1);
  return true;
}

}  // namespace p2pmem::loopback
