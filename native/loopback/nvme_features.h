// Get and Set Features (NVMe 1.4 §5.13, §5.21; Host Behavior Support as of 2.0).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "loopback/nvme_io.h"
#include "loopback/nvme_queues.h"
#include "loopback/nvme_transfer.h"

namespace p2pmem::loopback {

class NvmeFeatures {
 public:
  NvmeFeatures(NvmeQueues& queues, NvmeTransfer& transfer, NvmeIo& io);

  /// Back to the defaults.
  void reset();

  /// `result` is dword 0 of the completion.
  nvme::CommandStatus set(const nvme::Command& command, uint32_t& result);
  nvme::CommandStatus get(const nvme::Command& command, uint32_t& result);

  /// I/O queues that the host may create.
  uint32_t submissionQueues() const { return (values_[nvme::kFeatureNumberOfQueues] & 0xffff) + 1; }
  uint32_t completionQueues() const { return (values_[nvme::kFeatureNumberOfQueues] >> 16) + 1; }

  /// Of the I/O completions of a vector: an interrupt for so many, or after that time; at once
  /// where it is 0.
  struct Coalescing {
    uint32_t entries = 1;
    std::chrono::microseconds time{0};
  };
  Coalescing coalescing(uint16_t vector) const;

  /// Whether Asynchronous Event Configuration lets this event through (§5.21.1.11).
  bool wantsEvent(uint32_t event) const;

 private:
  using Clock = std::chrono::steady_clock;
  using Values = std::array<uint32_t, nvme::kFeatureAsyncEvent + 1>;
  using HostBehavior = std::array<uint8_t, 512>;

  Values defaults() const;
  nvme::CommandStatus setNumberOfQueues(uint32_t value, uint32_t& result);
  nvme::CommandStatus setTimestamp(const nvme::Command& command);
  nvme::CommandStatus setHostBehavior(const nvme::Command& command);
  nvme::CommandStatus sendTimestamp(const nvme::Command& command, bool isDefault);

  NvmeQueues& queues_;
  NvmeTransfer& transfer_;
  NvmeIo& io_;
  Values values_;                           // of the features that are one dword
  std::vector<uint32_t> interruptVectors_;  // feature 09h, by vector
  uint64_t timestamp_ = 0;                  // milliseconds, at:
  Clock::time_point timestampSet_;
  bool timestampFromHost_ = false;
  HostBehavior hostBehavior_;
};

}  // namespace p2pmem::loopback
