// A namespace: media, formatted in blocks.
#pragma once

#include <cstdint>
#include <memory>

#include "loopback/nvme_media.h"

namespace p2pmem::loopback {

struct NvmeNamespace {
  std::unique_ptr<NvmeMedia> media;
  uint32_t blockShift = 9;  // 9: 512 bytes, 12: 4096 bytes
  uint64_t uniqueId = 0;    // EUI-64, and the lower half of the NGUID
  // The NGUID's upper half, for the vendor to choose (NVMe 1.4 figure 245). What is kept in memory
  // is another namespace each time that a machine is made; what is in a file is not.
  uint64_t instance = 0;

  uint64_t blocks() const { return media->size() >> blockShift; }
  bool holds(uint64_t lba, uint64_t count) const {
    return lba < blocks() && count <= blocks() - lba;
  }
};

}  // namespace p2pmem::loopback
