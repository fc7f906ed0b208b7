// Media in memory.
#pragma once

#include <memory>

#include "core/memory.h"
#include "loopback/nvme_media.h"

namespace p2pmem::loopback {

class MemoryMedia final : public NvmeMedia {
 public:
  explicit MemoryMedia(uint64_t size) : NvmeMedia(size) {}

  Status prepare() override;
  bool read(uint64_t offset, std::span<const Run> runs) override;
  bool write(uint64_t offset, std::span<const Run> runs) override;
  bool zero(uint64_t offset, uint64_t length) override;
  bool compare(uint64_t offset, std::span<const Run> runs, bool& equal) override;

 private:
  std::shared_ptr<PinnedMemory> memory_;
};

}  // namespace p2pmem::loopback
