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

/// What a device does wrong on demand (docs/machine-file.md, "Faults").
struct Fault {
  enum class Trigger {
    read,
    write,
    flush,
    compare,
    copy,
    identify,
    abort,
    createQueue,
    deleteQueue,
    admin,
    io,
    any,
    packet,
    now
  };
  enum class Effect {
    hang,
    delay,
    status,
    dropDma,
    wrongCid,
    duplicate,
    badSqHead,
    badPhase,
    fatal,
    noDisable,
    noReset,
    remove,
    vanish,
    error,
    request,
    event,
    lose,
    corrupt,
    linkDown,
    linkUp
  };

  Trigger on = Trigger::any;
  Effect effect = Effect::hang;
  uint32_t after = 0;     // commands of that kind that pass before
  uint32_t count = 1;     // commands of that kind that it meets then
  bool abortable = true;  // hang: Abort ends it
  uint32_t delay = 0;     // milliseconds
  uint16_t status = 0;    // of the completion, without the phase bit
  uint32_t event = 0;     // dword 0 of an asynchronous event's completion
};

/// A controller memory buffer; sizes in bytes.
struct CmbConfiguration {
  uint64_t size = 0;    // 0: no CMB
  uint64_t offset = 0;  // in its BAR
  uint64_t unit = 0;    // 4 KiB times a power of 16, of which size and offset are multiples
  bool legacy = false;  // as before NVMe 1.4
  bool sqs = true;
  bool cqs = true;
  bool lists = true;
  bool rds = true;
  bool wds = true;
  bool mixed = true;  // CQMMS, CDPMLS, CDPCILS and CDMMMS
};

/// A persistent memory region.
struct PmrConfiguration {
  uint64_t size = 0;  // bytes, a power of two; 0: no PMR
  std::string file;   // empty: in memory
};

/// Copy: what Identify says of it.
struct CopyConfiguration {
  uint16_t formats = 0;      // bit n: descriptor format n (OCFS); 0: no Copy
  uint32_t maxRanges = 1;    // MSRC + 1
  uint32_t rangeBlocks = 1;  // MSSRL
  uint32_t blocks = 1;       // MCL
};

/// What is asked of the data blocks of an SGL.
enum class SglSupport { none, byte, dword };

struct NvmeConfiguration {
  std::string serial;
  CmbConfiguration cmb;
  PmrConfiguration pmr;
  SglSupport sgl = SglSupport::byte;
  CopyConfiguration copy;
  bool shadowDoorbells = false;  // Doorbell Buffer Config
  uint64_t maxTransfer = 0;      // bytes, a power of two
  uint32_t doorbellStride = 0;   // CAP.DSTRD
  std::vector<NamespaceConfiguration> namespaces;
  std::vector<Fault> faults;
};

struct CardConfiguration {
  uint64_t memorySize = 0;  // bytes, a power of two
};

/// What the ports of a NIC are wired to: each other, or a machine in another process.
struct WireConfiguration {
  enum class Role { none, listen, connect } role = Role::none;
  std::string path;  // of a Unix socket
};

struct RnicConfiguration {
  uint64_t memorySize = 0;  // bytes, a power of two; 0: no memory of its own
  WireConfiguration wire;
  std::vector<Fault> faults;
};

struct PortConfiguration;

struct SwitchConfiguration {
  std::vector<PortConfiguration> ports;
};

/// A root port or a switch's downstream port with what is plugged into it.
struct PortConfiguration {
  uint16_t acs = 0;    // ACS control register
  std::string driver;  // of the endpoint; empty: none
  std::variant<SwitchConfiguration, NvmeConfiguration, CardConfiguration, RnicConfiguration> device;
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
