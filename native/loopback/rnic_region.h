// A memory region as the NIC has it: what a key stands for.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/memory.h"
#include "loopback/dmabuf.h"

namespace p2pmem::loopback {

struct RnicRegion {
  uint32_t key = 0;
  uint32_t domain = 0;  // the protection domain's number
  uint32_t access = 0;  // rdma::AccessFlag
  uint64_t address = 0;
  uint64_t length = 0;
  uint64_t dma = 0;           // DMA address of the first byte
  uint64_t iova = 0;          // of the first page; 0: the NIC's own memory, which needs none
  uint64_t mappedLength = 0;  // whole pages
  std::shared_ptr<Memory> memory;
  std::shared_ptr<DmabufExport> dmabuf;

  // On-demand paging: the first page's own address in this process, and which pages are mapped.
  bool isOnDemand = false;
  uint8_t* pages = nullptr;
  std::vector<bool> present;

  bool contains(uint64_t first, uint64_t bytes) const {
    return first - address <= length && bytes <= length - (first - address);
  }
};

}  // namespace p2pmem::loopback
