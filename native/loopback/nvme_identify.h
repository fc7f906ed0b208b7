// The data structures of the Identify command (NVMe 1.4 §5.15.2).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "loopback/configuration.h"
#include "loopback/nvme_namespace.h"
#include "loopback/pci_function.h"

namespace p2pmem::loopback {

using IdentifyPage = std::array<uint8_t, 4096>;

constexpr const char* kNvmeModel = "p2pmem loopback NVMe";
constexpr const char* kNvmeFirmware = "1.0";
/// Abort commands that may be outstanding: ACL + 1.
constexpr size_t kNvmeAbortLimit = 4;

struct NvmeFacts {
  PciIdentity identity;
  std::string serial;
  uint32_t maxTransferShift = 0;  // MDTS: a power of two of 4 KiB pages
  uint16_t controllerId = 0;
  uint32_t version = 0;  // VS
  SglSupport sgl = SglSupport::none;
  CopyConfiguration copy;
  bool shadowDoorbells = false;
};

IdentifyPage identifyController(const NvmeFacts& facts, size_t namespaces);
IdentifyPage identifyNamespace(const NvmeFacts& facts, const NvmeNamespace& space);
IdentifyPage identifyActiveNamespaces(size_t namespaces, uint32_t after);
IdentifyPage identifyIndependentNamespace();
IdentifyPage identifyDescriptors(const NvmeNamespace& space);

}  // namespace p2pmem::loopback
