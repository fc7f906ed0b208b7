#include "loopback/endpoint.h"

#include <sys/eventfd.h>

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
  revokeExports();
  // The kernel sets up MSI-X again after a reset.
  msix_.reset();
  if (msix_.vectors() > 0) {
    const uint32_t control = kMsixAt + pci::kMsixControl;
    config.set(control, 2, config.read(control, 2) & ~pci::kMsixFunctionMask);
  }
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

void Endpoint::addExport(const std::shared_ptr<DmabufExport>& exported) {
  std::erase_if(exports_, [](const auto& held) { return held.expired(); });
  exports_.push_back(exported);
}

void Endpoint::revokeExports() {
  for (const auto& held : exports_)
    if (const auto exported = held.lock()) exported->revoke();
  exports_.clear();
}

void Endpoint::presentBars() {
  if (removed || !memoryDecode()) revokeExports();
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
  msix_.add(vectors, tableOffset, pbaOffset);
  config.addCapability(kMsixAt, pci::kCapabilityMsix);
  config.set(kMsixAt + pci::kMsixControl, 2, vectors - 1);
  config.setWritable(kMsixAt + pci::kMsixControl, 2, pci::kMsixFunctionMask);
  config.set(kMsixAt + pci::kMsixTable, 4, tableOffset);  // bits 2:0: in BAR 0
  config.set(kMsixAt + pci::kMsixPba, 4, pbaOffset);
}

bool Endpoint::isFunctionMasked() const {
  return config.read(kMsixAt + pci::kMsixControl, 2) & pci::kMsixFunctionMask;
}

bool Endpoint::sendsMessages() const {
  return (config.read(kMsixAt + pci::kMsixControl, 2) & pci::kMsixEnable) && busMaster();
}

void Endpoint::setInterrupt(uint32_t vector, UniqueFd fd) {
  msix_.route(vector, std::move(fd));
  // As VFIO does it: the first eventfd enables MSI-X, the last one to go disables it.
  const uint64_t rest = config.read(kMsixAt + pci::kMsixControl, 2) & ~pci::kMsixEnable;
  config.set(kMsixAt + pci::kMsixControl, 2, rest | (msix_.isRouted() ? pci::kMsixEnable : 0));
  sendPending();
}

void Endpoint::writeMsix(uint64_t offset, uint32_t value) {
  msix_.write(offset, value);
  sendPending();
}

void Endpoint::signal(uint32_t vector) {
  if (sendsMessages() && msix_.signal(vector, isFunctionMasked())) countInterrupt();
}

void Endpoint::sendPending() {
  if (msix_.vectors() == 0 || !sendsMessages()) return;
  for (uint32_t sent = msix_.sendPending(isFunctionMasked()); sent > 0; sent--) countInterrupt();
}

}  // namespace p2pmem::loopback
