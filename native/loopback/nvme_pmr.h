// The persistent memory region (NVMe 1.4 §4.8): its registers. Here it is as persistent as the
// machine, or as the file that it lies in.
#pragma once

#include <cstdint>

#include "loopback/configuration.h"
#include "loopback/endpoint.h"
#include "loopback/nvme_spec.h"

namespace p2pmem::loopback {

class NvmePmr {
 public:
  static constexpr uint32_t kBar = 4;

  /// Gives `endpoint` its BAR. `epoch` as in MachineContext.
  NvmePmr(const PmrConfiguration& configuration, Endpoint& endpoint, uint64_t& epoch);

  bool exists() const { return configuration_.size > 0; }

  /// Makes the file, if there is to be one, the memory of the BAR. Errors: IO.
  Status openFile();
  void reset();

  /// The registers from PMRCAP to PMRMSCU, by their offset in BAR 0; others read 0.
  uint32_t read(uint64_t offset) const;
  void write(uint64_t offset, uint32_t value);

  /// It was switched on or off, and poll() is to say when that is done.
  bool isSwitching() const { return isReady_ != isEnabled(); }
  void poll();

 private:
  bool isEnabled() const { return control_ & nvme::kPmrctlEn; }
  void apply();

  PmrConfiguration configuration_;
  Endpoint& endpoint_;
  uint64_t& epoch_;
  uint32_t control_ = 0;
  uint64_t memorySpace_ = 0;  // PMRMSC
  bool isReady_ = false;
  bool isRefused_ = false;  // PMRSTS.CBAI
};

}  // namespace p2pmem::loopback
