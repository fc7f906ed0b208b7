// A BAR or the configuration space of an open function.
#pragma once

#include <memory>
#include <string>

#include "core/device.h"
#include "core/region.h"
#include "loopback/machine.h"

namespace p2pmem::loopback {

/// It does not keep the machine: closing the device is enough, whoever still holds its regions.
class LoopbackRegion final : public Region {
 public:
  LoopbackRegion(std::weak_ptr<Machine> machine, Endpoint& endpoint, uint64_t owner,
                 uint32_t index);

  Result<uint64_t> read(uint64_t offset, uint32_t width) override;
  Status write(uint64_t offset, uint32_t width, uint64_t value) override;
  Result<std::shared_ptr<Memory>> map(uint64_t offset, uint64_t length) override;

 private:
  static RegionInfo describe(const Endpoint& endpoint, uint32_t index);
  /// The device still open. With the lock held.
  Status checkOpen() const;
  bool isLost();
  uint8_t* ramAt(uint64_t offset) const;
  void writeConfig(Machine& machine, uint64_t offset, uint32_t width, uint64_t value);
  Error closed() const;

  std::weak_ptr<Machine> machine_;
  std::string address_;
  Endpoint& endpoint_;  // the machine's
  uint64_t owner_;
};

}  // namespace p2pmem::loopback
