#include "loopback/pci_function.h"

namespace p2pmem::loopback {

namespace {

constexpr uint32_t kExpressVersion = 2;
// Link Capabilities: maximum speed in bits 3:0 (4: 16 GT/s), width in bits 9:4 (PCIe 4.0 §7.5.3.6).
constexpr uint32_t kGen4 = 4;
constexpr uint32_t kEndpointWidth = 4;
constexpr uint32_t kUpstreamWidth = 16;
// Link Capabilities 2: supported speeds vector, 2.5 to 16 GT/s (§7.5.3.18).
constexpr uint32_t kSpeedsUpToGen4 = 0xf << 1;

pci::PortType portType(FunctionKind kind) {
  switch (kind) {
    case FunctionKind::rootPort:
      return pci::PortType::rootPort;
    case FunctionKind::upstreamPort:
      return pci::PortType::upstream;
    case FunctionKind::downstreamPort:
      return pci::PortType::downstream;
    default:
      return pci::PortType::endpoint;
  }
}

}  // namespace

PciFunction::PciFunction(FunctionKind kind, PciIdentity identity) : kind_(kind) {
  config.set(pci::kVendorId, 2, identity.vendor);
  config.set(pci::kDeviceId, 2, identity.device);
  config.set(pci::kRevisionId, 1, 1);
  config.set(pci::kClassCode, 3, identity.classCode);
  config.setWritable(pci::kCommand, 2,
                     pci::kCommandMemory | pci::kCommandBusMaster | pci::kCommandIntxDisable);
  if (isBridge()) {
    config.set(pci::kHeaderType, 1, 1);
    // The kernel's port driver leaves its bridges forwarding both ways.
    config.set(pci::kCommand, 2, pci::kCommandMemory | pci::kCommandBusMaster);
    driver = "pcieport";
  } else {
    config.set(pci::kSubsystemVendorId, 2, identity.vendor);
    config.set(pci::kSubsystemId, 2, identity.device);
    config.set(pci::kCommand, 2, pci::kCommandMemory);
  }
  if (kind != FunctionKind::hostBridge) addExpressCapability();
}

void PciFunction::addExpressCapability() {
  const uint32_t width = kind_ == FunctionKind::upstreamPort || kind_ == FunctionKind::rootPort
                             ? kUpstreamWidth
                             : kEndpointWidth;
  const uint32_t link = kGen4 | width << 4;
  config.addCapability(kExpressAt, pci::kCapabilityExpress);
  config.set(kExpressAt + pci::kExpressFlags, 2,
             kExpressVersion | static_cast<uint32_t>(portType(kind_)) << 4);
  config.set(kExpressAt + pci::kExpressLinkCapabilities, 4, link);
  config.set(kExpressAt + pci::kExpressLinkStatus, 2, link);
  config.set(kExpressAt + pci::kExpressLinkCapabilities2, 4, kSpeedsUpToGen4);
  if (kind_ == FunctionKind::endpoint)
    config.set(kExpressAt + pci::kExpressDeviceCapabilities, 4, pci::kDeviceCapabilityFlr);
}

void PciFunction::enableAcs(uint16_t control) {
  constexpr uint32_t kVersion = 1;
  const uint16_t capable = pci::kAcsIsolation | pci::kAcsTranslationBlocking;
  config.set(pci::kExtendedCapabilities, 4, pci::kExtendedCapabilityAcs | kVersion << 16);
  config.set(pci::kExtendedCapabilities + pci::kAcsCapability, 2, capable);
  config.set(pci::kExtendedCapabilities + pci::kAcsControl, 2, control);
  acs_ = control;
}

void PciFunction::setWindow(uint32_t base, uint32_t limit, const BridgeWindow& window,
                            uint16_t type) {
  // Base above limit is how a bridge says that a window is closed.
  const uint64_t first = window.size ? window.base : 0xfff00000;
  const uint64_t last = window.size ? window.base + window.size - 1 : 0;
  config.set(base, 2, (first >> 16 & 0xfff0) | type);
  config.set(limit, 2, (last >> 16 & 0xfff0) | type);
}

void PciFunction::publishAddresses() {
  for (uint32_t i = 0; i < bars.size(); i++) {
    const Bar& bar = bars[i];
    if (bar.size == 0) continue;
    config.set(pci::kBar0 + 4 * i, 8,
               bar.address | pci::kBarMemory64 | (bar.prefetchable ? pci::kBarPrefetchable : 0));
  }
  if (!isBridge()) return;
  config.set(pci::kPrimaryBus, 1, bus);
  config.set(pci::kSecondaryBus, 1, secondaryBus);
  config.set(pci::kSubordinateBus, 1, subordinateBus);
  config.set(pci::kIoBase, 2, 0x00f0);  // closed
  setWindow(pci::kMemoryBase, pci::kMemoryLimit, memoryWindow, 0);
  setWindow(pci::kPrefetchableBase, pci::kPrefetchableLimit, prefetchableWindow,
            pci::kPrefetchable64);
  if (prefetchableWindow.size == 0) return;
  config.set(pci::kPrefetchableBaseUpper, 4, prefetchableWindow.base >> 32);
  config.set(pci::kPrefetchableLimitUpper, 4,
             (prefetchableWindow.base + prefetchableWindow.size - 1) >> 32);
}

}  // namespace p2pmem::loopback
