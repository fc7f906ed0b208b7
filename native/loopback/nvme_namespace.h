// A namespace: media, formatted in blocks.
#pragma once

#include <cstdint>
#include <memory>

#include "loopback/nvme_media.h"

namespace p2pmem::loopback {

struct NvmeNamespace {
  std::unique_ptr<NvmeMedia> media;
  uint32_t blockShift = 9;  // 9: 512 bytes, 12: 4096 bytes
  uint64_t uniqueId = 0;    // EUI-64, and the upper half of the NGUID

  uint64_t blocks() const { return media->size() >> blockShift; }
  bool holds(uint64_t lba, uint64_t count) const {
    return lba < blocks() && count <= blocks() - lba;
  }
};

}  // namespace p2pmem::loopback
