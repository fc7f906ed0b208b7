// The memory that a command names, as contiguous runs of this process's memory. PRP entries and
// SGL descriptors are added one after the other; neighbours become one run.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "loopback/nvme_cmb.h"
#include "loopback/requester.h"

namespace p2pmem::loopback {

/// One contiguous piece. `data` null: requests there are dropped, or the host wants nothing there.
struct Run {
  uint8_t* data;
  uint64_t length;
};

class NvmeRuns {
 public:
  /// With room for `maxLength` bytes of pages from the start.
  NvmeRuns(Requester& requester, const NvmeCmb& cmb, uint64_t maxLength);

  /// `write`: the device writes to them.
  void begin(bool write) {
    runs_.clear();
    write_ = write;
    length_ = 0;
    cmbUse_ = {};
  }
  /// Bytes at a bus address.
  void extend(uint64_t address, uint64_t length) {
    if (address != start_ + length_) {
      flush();
      start_ = address;
    }
    length_ += length;
  }
  /// Bytes that go nowhere.
  void skip(uint64_t length);
  void finish() { flush(); }

  /// Reads a part of a PRP list or SGL, all of it in one page. Null: it cannot be reached.
  const uint8_t* list(uint64_t address, uint32_t length);

  bool write() const { return write_; }
  std::span<const Run> runs() const { return runs_; }
  const NvmeCmb::Use& cmbUse() const { return cmbUse_; }

 private:
  void flush();

  Requester& requester_;
  const NvmeCmb& cmb_;
  std::vector<Run> runs_;
  bool write_ = false;
  // Bus addresses that are contiguous so far. Not an end, which is 0 at the top of the addresses.
  uint64_t start_ = 0;
  uint64_t length_ = 0;
  NvmeCmb::Use cmbUse_;
};

}  // namespace p2pmem::loopback
