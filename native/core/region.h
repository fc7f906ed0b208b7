// One region of a device: a BAR, the expansion ROM or the configuration space.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/memory.h"
#include "core/status.h"

namespace p2pmem {

struct Extent {
  uint64_t offset = 0;
  uint64_t length = 0;
};

struct RegionInfo {
  uint64_t size = 0;  // bytes; 0 where the BAR is not implemented
  bool readable = false;
  bool writable = false;
  std::vector<Extent> mappable;  // parts that may be mmapped (VFIO's sparse-mmap capability)
};

class Region {
 public:
  virtual ~Region() = default;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  const RegionInfo& info() const { return info_; }
  uint32_t index() const { return index_; }

  /// One register access of exactly `width` bytes (1, 2, 4, 8), naturally aligned.
  /// Errors: BAD_RANGE, IO.
  virtual Result<uint64_t> read(uint64_t offset, uint32_t width) = 0;
  virtual Status write(uint64_t offset, uint32_t width, uint64_t value) = 0;

  /// Maps [offset, offset + length) into this process; page aligned, inside one mappable extent.
  /// Errors: NOT_MAPPABLE, BAD_RANGE.
  virtual Result<std::shared_ptr<Memory>> map(uint64_t offset, uint64_t length) = 0;

 protected:
  Region(uint32_t index, RegionInfo info) : index_(index), info_(std::move(info)) {}

  /// The checks that every implementation of read, write and map needs.
  Status checkAccess(uint64_t offset, uint32_t width) const;
  Status checkMap(uint64_t offset, uint64_t length) const;

 private:
  uint32_t index_;
  RegionInfo info_;
};

}  // namespace p2pmem
