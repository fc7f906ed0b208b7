// The controller memory buffer (NVMe 1.4 §4.7): its registers, and what it may be used for.
#pragma once

#include <cstdint>

#include "loopback/configuration.h"
#include "loopback/endpoint.h"
#include "loopback/nvme_spec.h"

namespace p2pmem::loopback {

class NvmeCmb {
 public:
  static constexpr uint32_t kBar = 2;

  /// Where things lie: bits, since it may be both.
  enum Place : uint8_t { kNowhere = 0, kInside = 1, kOutside = 2 };
  /// Where a command's data and its PRP lists or SGL segments lie.
  struct Use {
    uint8_t data = kNowhere;
    uint8_t lists = kNowhere;
  };

  /// Gives `endpoint` its BAR. `epoch` as in MachineContext.
  NvmeCmb(const CmbConfiguration& configuration, Endpoint& endpoint, uint64_t& epoch);

  bool exists() const { return configuration_.size > 0; }
  /// As it was before NVMe 1.4: always there, at its bus address.
  bool isLegacy() const { return configuration_.legacy; }

  void reset();

  uint32_t location() const;  // CMBLOC
  uint32_t size() const;      // CMBSZ
  uint32_t status() const { return status_; }
  uint64_t control() const { return control_; }
  /// CMBMSC: the lower half takes effect, also for what the upper one says.
  void writeControlLow(uint32_t value);
  void writeControlHigh(uint32_t value);

  Place placeOf(uint64_t address) const {
    return address - range_.base < range_.size ? kInside : kOutside;
  }

  /// Of a queue that is to be created.
  nvme::CommandStatus checkQueue(uint64_t base, uint64_t bytes, bool isSubmission) const;
  /// Of a command that is itself at `command`. `write`: its data goes to the host (Read).
  nvme::CommandStatus checkCommand(Place command, const Use& use, bool write) const {
    if (!((use.data | use.lists) & kInside)) return nvme::kSuccess;
    return checkUse(command, use, write);
  }

 private:
  nvme::CommandStatus checkUse(Place command, const Use& use, bool write) const;
  bool isShown() const { return exists() && (isLegacy() || (control_ & nvme::kCmbmscCre)); }
  uint32_t unitShift() const;

  CmbConfiguration configuration_;
  Endpoint& endpoint_;
  InternalRange& range_;
  uint64_t& epoch_;
  uint64_t control_ = 0;
  uint32_t status_ = 0;
};

}  // namespace p2pmem::loopback
