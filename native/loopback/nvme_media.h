// What a namespace keeps its blocks in.
#pragma once

#include <cstdint>
#include <span>

#include "core/status.h"
#include "loopback/nvme_runs.h"

namespace p2pmem::loopback {

class NvmeMedia {
 public:
  virtual ~NvmeMedia() = default;
  NvmeMedia(const NvmeMedia&) = delete;
  NvmeMedia& operator=(const NvmeMedia&) = delete;

  uint64_t size() const { return size_; }

  /// Before first use. Errors: NO_MEMORY.
  virtual Status prepare() { return {}; }

  // Offsets and lengths are inside the media, that has been checked. False: the medium failed.
  // Runs without memory take nothing (read) or give zeros (write, compare).
  virtual bool read(uint64_t offset, std::span<const Run> runs) = 0;
  virtual bool write(uint64_t offset, std::span<const Run> runs) = 0;
  virtual bool zero(uint64_t offset, uint64_t length) = 0;
  /// `equal` tells the result.
  virtual bool compare(uint64_t offset, std::span<const Run> runs, bool& equal) = 0;
  virtual bool flush() { return true; }

 protected:
  explicit NvmeMedia(uint64_t size) : size_(size) {}

 private:
  uint64_t size_;
};

}  // namespace p2pmem::loopback
