// What VFIO needs to know from sysfs to open a device, and to say why it cannot.
#pragma once

#include <string>

#include "core/status.h"

namespace p2pmem::sysfs {

/// The IOMMU group of a PCI function that a VFIO driver owns.
/// Errors: UNKNOWN_DEVICE, NOT_BOUND, NO_IOMMU.
Result<int> vfioGroupOf(const std::string& address);

/// The functions of a group that keep it from being viable, "0000:01:00.0 (nvme)".
std::string describeOutsiders(int group);

}  // namespace p2pmem::sysfs
