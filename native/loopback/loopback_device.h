// A function of the loopback machine that this process has opened.
#pragma once

#include <memory>

#include "core/device.h"
#include "loopback/machine.h"

namespace p2pmem::loopback {

class LoopbackDevice final : public Device {
 public:
  LoopbackDevice(std::shared_ptr<Machine> machine, Endpoint& endpoint, uint64_t owner);
  ~LoopbackDevice() override;

  Result<std::shared_ptr<Region>> region(uint32_t index) override;
  Status reset() override;
  Status setInterrupt(uint32_t vector, int eventFd) override;
  Status setEvent(DeviceEvent event, int eventFd) override;
  Result<UniqueFd> exportDmabuf(uint32_t region, uint64_t offset, uint64_t length) override;

 protected:
  Status restoreMappings() override;

 private:
  std::shared_ptr<Machine> machine_;
  Endpoint& endpoint_;
  uint64_t owner_;
};

}  // namespace p2pmem::loopback
