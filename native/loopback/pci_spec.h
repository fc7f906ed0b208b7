// Configuration space of PCI Express functions: PCI Local Bus 3.0 §6, PCI Express Base 4.0 §7.
#pragma once

#include <cstdint>

namespace p2pmem::loopback::pci {

// Type 0 and type 1 header (PCI 3.0 §6.1, PCI-to-PCI Bridge 1.2 §3.2).
constexpr uint32_t kVendorId = 0x00;
constexpr uint32_t kDeviceId = 0x02;
constexpr uint32_t kCommand = 0x04;
constexpr uint16_t kCommandMemory = 1 << 1;
constexpr uint16_t kCommandBusMaster = 1 << 2;
constexpr uint16_t kCommandIntxDisable = 1 << 10;
constexpr uint32_t kStatus = 0x06;
constexpr uint16_t kStatusCapabilities = 1 << 4;
constexpr uint32_t kRevisionId = 0x08;
constexpr uint32_t kClassCode = 0x09;
constexpr uint32_t kHeaderType = 0x0e;
constexpr uint32_t kBar0 = 0x10;
constexpr uint32_t kBarMemory64 = 0x4;
constexpr uint32_t kBarPrefetchable = 0x8;
constexpr uint32_t kSubsystemVendorId = 0x2c;
constexpr uint32_t kSubsystemId = 0x2e;
constexpr uint32_t kCapabilitiesPointer = 0x34;
constexpr uint32_t kPrimaryBus = 0x18;
constexpr uint32_t kSecondaryBus = 0x19;
constexpr uint32_t kSubordinateBus = 0x1a;
constexpr uint32_t kIoBase = 0x1c;
constexpr uint32_t kMemoryBase = 0x20;
constexpr uint32_t kMemoryLimit = 0x22;
constexpr uint32_t kPrefetchableBase = 0x24;
constexpr uint32_t kPrefetchableLimit = 0x26;
constexpr uint32_t kPrefetchableBaseUpper = 0x28;
constexpr uint32_t kPrefetchableLimitUpper = 0x2c;
constexpr uint16_t kPrefetchable64 = 0x1;

// PCI Express capability (PCIe 4.0 §7.5.3).
constexpr uint8_t kCapabilityExpress = 0x10;
constexpr uint32_t kExpressFlags = 0x02;
constexpr uint32_t kExpressDeviceCapabilities = 0x04;
constexpr uint32_t kDeviceCapabilityFlr = 1u << 28;
constexpr uint32_t kExpressDeviceControl = 0x08;
constexpr uint16_t kDeviceControlFlr = 1 << 15;
constexpr uint32_t kExpressLinkCapabilities = 0x0c;
constexpr uint32_t kExpressLinkStatus = 0x12;
constexpr uint32_t kExpressLinkCapabilities2 = 0x2c;
enum class PortType : uint8_t {  // Device/Port Type
  endpoint = 0x0,
  rootPort = 0x4,
  upstream = 0x5,
  downstream = 0x6,
};

// MSI-X capability (PCI 3.0 §6.8.2).
constexpr uint8_t kCapabilityMsix = 0x11;
constexpr uint32_t kMsixControl = 0x02;
constexpr uint16_t kMsixFunctionMask = 1 << 14;
constexpr uint16_t kMsixEnable = 1 << 15;
constexpr uint32_t kMsixTable = 0x04;
constexpr uint32_t kMsixPba = 0x08;
constexpr uint32_t kMsixEntrySize = 16;

// Access Control Services extended capability (PCIe 4.0 §7.7.8).
constexpr uint32_t kExtendedCapabilities = 0x100;
constexpr uint16_t kExtendedCapabilityAcs = 0x000d;
constexpr uint32_t kAcsCapability = 0x04;
constexpr uint32_t kAcsControl = 0x06;
constexpr uint16_t kAcsSourceValidation = 1 << 0;
constexpr uint16_t kAcsTranslationBlocking = 1 << 1;
constexpr uint16_t kAcsRequestRedirect = 1 << 2;
constexpr uint16_t kAcsCompletionRedirect = 1 << 3;
constexpr uint16_t kAcsUpstreamForwarding = 1 << 4;
/// What Linux asks of a port before it calls what is below isolated (REQ_ACS_FLAGS).
constexpr uint16_t kAcsIsolation =
    kAcsSourceValidation | kAcsRequestRedirect | kAcsCompletionRedirect | kAcsUpstreamForwarding;

// Class codes (PCI Code and ID Assignment).
constexpr uint32_t kClassHostBridge = 0x060000;
constexpr uint32_t kClassPciBridge = 0x060400;
constexpr uint32_t kClassNvme = 0x010802;
constexpr uint32_t kClassNetwork = 0x028000;
constexpr uint32_t kClassOtherMemory = 0x058000;

}  // namespace p2pmem::loopback::pci
