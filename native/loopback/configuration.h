// What a loopback machine consists of, as read from a machine file (lib/platform/machine-file.ts).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace p2pmem::loopback {

struct NamespaceConfiguration {
  uint64_t size = 0;  // bytes; 0 with a file: the file's size
  uint32_t blockSize = 512;
  std::string file;  // empty: in memory
};

struct NvmeConfiguration {
  std::string serial;
  uint64_t cmbSize = 0;         // bytes, a power of two; 0: no CMB
  uint64_t maxTransfer = 0;     // bytes, a power of two
  uint32_t doorbellStride = 0;  // CAP.DSTRD
  std::vector<NamespaceConfiguration> namespaces;
};

struct CardConfiguration {
  uint64_t memorySize = 0;  // bytes, a power of two
};

struct PortConfiguration;

struct SwitchConfiguration {
  std::vector<PortConfiguration> ports;
};

/// A root port or a switch's downstream port with what is plugged into it.
struct PortConfiguration {
  uint16_t acs = 0;    // ACS control register
  std::string driver;  // of the endpoint; empty: none
  std::variant<SwitchConfiguration, NvmeConfiguration, CardConfiguration> device;
};

/// What the root complex forwards of the requests from one device to another's BAR. It need not
/// forward any (PCIe 4.0 §1.3.1), and some forward writes alone.
enum class Forwarding { all, writes, none };

struct MachineConfiguration {
  uint32_t iovaBits = 48;
  Forwarding forwarding = Forwarding::all;
  std::vector<PortConfiguration> rootPorts;
};

}  // namespace p2pmem::loopback
