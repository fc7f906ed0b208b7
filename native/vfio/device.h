// A PCI function opened through VFIO.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/unique_fd.h"

namespace p2pmem {

class VfioContainer;
class VfioRegion;

class VfioDevice final : public Device {
 public:
  static Result<std::shared_ptr<Device>> create(std::string address, UniqueFd fd,
                                                std::shared_ptr<VfioContainer> container);
  ~VfioDevice() override;

  Result<std::shared_ptr<Region>> region(uint32_t index) override;
  Status reset() override;
  Status setInterrupt(uint32_t vector, int eventFd) override;
  Status setEvent(DeviceEvent event, int eventFd) override;
  /// Errors also: NOT_MAPPABLE, for registers and interrupt vectors.
  Result<UniqueFd> exportDmabuf(uint32_t region, uint64_t offset, uint64_t length) override;

 protected:
  Status restoreMappings() override;

 private:
  VfioDevice(std::string address, UniqueFd fd, std::shared_ptr<VfioContainer> container);

  /// The same for MSI-X vectors and for events, which are interrupts of an index of their own.
  Status setEventFds(uint32_t index, uint32_t start, const std::vector<int>& eventFds);
  Status disableVectors();

  // Before fd_, so destroyed after it: the group must outlive its device.
  std::shared_ptr<VfioContainer> container_;
  std::shared_ptr<UniqueFd> fd_;  // shared with the regions, until they are closed
  std::mutex mutex_;
  std::map<uint32_t, std::shared_ptr<VfioRegion>> regions_;  // by index, made on first use
  std::vector<int> eventFds_;  // of the MSI-X vectors that are enabled
};

}  // namespace p2pmem
