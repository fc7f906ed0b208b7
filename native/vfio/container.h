// The kernel's type1 container: an address space shared by the groups that are attached to it
// (Documentation/driver-api/vfio.rst, linux/vfio.h).
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "core/address_space.h"
#include "core/unique_fd.h"

namespace p2pmem {

class VfioContainer final : public AddressSpace,
                            public std::enable_shared_from_this<VfioContainer> {
 public:
  /// Errors: NO_VFIO, PERMISSION.
  static Result<std::shared_ptr<AddressSpace>> open();

  Result<std::shared_ptr<Device>> openDevice(const std::string& address) override;
  Result<AddressSpaceInfo> info() override;

 protected:
  Status doMap(Memory& memory, uint64_t offset, uint64_t length, uint64_t iova,
               Access access) override;
  Status doUnmap(uint64_t iova, uint64_t length) override;

 private:
  explicit VfioContainer(UniqueFd fd) : fd_(std::move(fd)) {}

  /// The group's file descriptor, attached to this container.
  Result<int> group(int number, const std::string& address);

  UniqueFd fd_;
  std::mutex mutex_;
  bool hasIommu_ = false;  // set by the first group
  // Kept to the end: with its last group a container loses its IOMMU, and all mappings with it.
  std::map<int, UniqueFd> groups_;
  std::map<std::string, std::weak_ptr<Device>> devices_;  // by address
};

}  // namespace p2pmem
