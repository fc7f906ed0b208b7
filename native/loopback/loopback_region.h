// A BAR or the configuration space of an open function.
#pragma once

#include <memory>

#include "core/device.h"
#include "core/region.h"
#include "loopback/machine.h"

namespace p2pmem::loopback {

class LoopbackRegion final : public Region {
 public:
  LoopbackRegion(std::shared_ptr<Machine> machine, Endpoint& endpoint, uint64_t owner,
                 uint32_t index);

  Result<uint64_t> read(uint64_t offset, uint32_t width) override;
  Status write(uint64_t offset, uint32_t width, uint64_t value) override;
  Result<std::shared_ptr<Memory>> map(uint64_t offset, uint64_t length) override;

 private:
  static RegionInfo describe(const Endpoint& endpoint, uint32_t index);
  /// Bounds and width; the device still open. With the lock held.
  Status check(uint64_t offset, uint32_t width) const;
  bool isLost();
  uint8_t* ramAt(uint64_t offset) const;
  void writeConfig(uint64_t offset, uint32_t width, uint64_t value);

  std::shared_ptr<Machine> machine_;
  Endpoint& endpoint_;
  uint64_t owner_;
};

}  // namespace p2pmem::loopback
