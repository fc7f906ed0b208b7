// One function of the simulated PCI fabric: the host bridge, a port, or an endpoint.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "loopback/bar_ram.h"
#include "loopback/config_space.h"
#include "loopback/pci_spec.h"

namespace p2pmem::loopback {

enum class FunctionKind { hostBridge, rootPort, upstreamPort, downstreamPort, endpoint };

/// A memory BAR. RAM behind it, if any, is `memory`, from `memoryOffset` on; the rest is registers.
struct Bar {
  uint64_t size = 0;  // bytes, a power of two; 0: not implemented
  bool prefetchable = false;
  uint64_t address = 0;
  uint64_t memoryOffset = 0;
  uint64_t memorySize = 0;
  bool persistent = false;              // the RAM outlives a loss of power
  bool enabled = true;                  // false: what its RAM reads is undefined
  bool lost = false;                    // software found nobody here, and has not mapped it again
  std::shared_ptr<BarRam> memory = {};  // allocated when the function is first opened
};

/// A bridge's window: the bus addresses it forwards down.
struct BridgeWindow {
  uint64_t base = 0;
  uint64_t size = 0;

  bool contains(uint64_t address) const { return address - base < size; }
};

struct PciIdentity {
  uint16_t vendor = 0;
  uint16_t device = 0;
  uint32_t classCode = 0;
};

class PciFunction {
 public:
  static constexpr uint32_t kExpressAt = 0x40;  // the PCI Express capability

  PciFunction(FunctionKind kind, PciIdentity identity);
  virtual ~PciFunction() = default;
  PciFunction(const PciFunction&) = delete;
  PciFunction& operator=(const PciFunction&) = delete;

  FunctionKind kind() const { return kind_; }
  bool isBridge() const {
    return kind_ != FunctionKind::endpoint && kind_ != FunctionKind::hostBridge;
  }
  /// True where a link (not a switch's internal bus) is above it; links are named by this end.
  bool hasLink() const {
    return kind_ == FunctionKind::endpoint || kind_ == FunctionKind::upstreamPort;
  }
  bool memoryDecode() const { return command() & pci::kCommandMemory; }
  bool busMaster() const { return command() & pci::kCommandBusMaster; }
  /// ACS control bits; 0 for everything but ports.
  uint16_t acs() const { return acs_; }

  /// Adds the ACS capability, as ports have it, with these bits enabled.
  void enableAcs(uint16_t control);
  /// Writes the addresses that the fabric assigned to bars and windows into the header.
  void publishAddresses();

  // Set by the fabric when it puts the machine together.
  std::string address;  // "0000:03:00.0"
  size_t index = 0;     // in the fabric's list
  PciFunction* parent = nullptr;
  std::vector<PciFunction*> children;
  uint8_t bus = 0;
  uint8_t secondaryBus = 0;
  uint8_t subordinateBus = 0;
  int iommuGroup = -1;
  std::string driver;
  BridgeWindow memoryWindow;
  BridgeWindow prefetchableWindow;
  bool removed = false;  // it was pulled out; its configuration space is left as it was

  std::array<Bar, 6> bars;
  ConfigSpace config;

 private:
  uint16_t command() const { return static_cast<uint16_t>(config.read(pci::kCommand, 2)); }
  void addExpressCapability();
  void setWindow(uint32_t base, uint32_t limit, const BridgeWindow& window, uint16_t type);

  FunctionKind kind_;
  uint16_t acs_ = 0;
};

}  // namespace p2pmem::loopback
