// Asynchronous events (NVMe 1.4 §5.2) and the error log (§5.14.1.1) of a controller.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "loopback/nvme_spec.h"

namespace p2pmem::loopback {

class NvmeEvents {
 public:
  static constexpr size_t kRequestLimit = 4;  // Identify AERL + 1
  static constexpr size_t kErrorEntries = 4;  // Identify ELPE + 1

  /// Of an Asynchronous Event Request.
  struct Completion {
    uint16_t cid;
    uint32_t result;
    nvme::CommandStatus status;
  };

  void clear();

  /// An Asynchronous Event Request arrived; false where too many are outstanding.
  bool addRequest(uint16_t cid);
  /// Has an outstanding request completed as aborted; false if it is not there.
  bool abortRequest(uint16_t cid);

  /// `event` as in dword 0 of its completion. One of a type is reported, then others of that type
  /// only after the host has read the log page that it named, as §5.2 wants it.
  void raise(uint32_t event);
  void raiseError(uint8_t cause) {
    raise(nvme::asyncEvent(nvme::kEventTypeError, cause, nvme::kLogError));
  }
  /// The host read a log page without asking to retain the event.
  void logRead(uint8_t logPage);
  /// A request that can be completed now: aborted, or with an event.
  std::optional<Completion> take();

  void logError(uint16_t queue, const nvme::Command& command, nvme::CommandStatus status);
  /// The error information log page, newest entry first.
  std::vector<uint8_t> errorLog() const;
  uint64_t errors() const { return errors_; }

 private:
  struct ErrorEntry {
    uint64_t count = 0;
    uint16_t queue = 0;
    uint16_t cid = 0;
    uint16_t status = 0;
    uint64_t lba = 0;
    uint32_t nsid = 0;
  };

  std::vector<uint16_t> requests_;
  std::vector<uint16_t> aborted_;
  std::vector<uint32_t> events_;
  std::vector<uint32_t> masking_;  // reported, and not yet read up on
  std::array<ErrorEntry, kErrorEntries> log_{};
  uint64_t errors_ = 0;
};

}  // namespace p2pmem::loopback
