#include "vfio/sysfs.h"

#include <filesystem>
#include <fstream>

namespace p2pmem::sysfs {

namespace fs = std::filesystem;

namespace {

const fs::path kDevices = "/sys/bus/pci/devices";

// Last component of the link, "" if there is none.
std::string linkName(const fs::path& link) {
  std::error_code error;
  return fs::read_symlink(link, error).filename().string();
}

bool ownedByVfio(const std::string& driver) { return driver.find("vfio") != std::string::npos; }

// A bridge in a group is harmless: its driver does no DMA of its own (vfio_dev_viable()).
bool isBridge(const fs::path& device) {
  std::string text;
  std::ifstream(device / "class") >> text;
  return text.rfind("0x0604", 0) == 0;
}

}  // namespace

Result<int> vfioGroupOf(const std::string& address) {
  const fs::path device = kDevices / address;
  std::error_code ignored;
  if (!fs::exists(device, ignored))
    return Error{.code = "UNKNOWN_DEVICE",
                 .message = "there is no PCI device " + address,
                 .device = address,
                 .hint = "p2pmem list shows the devices"};
  const std::string driver = linkName(device / "driver");
  if (!ownedByVfio(driver)) {
    return Error{.code = "NOT_BOUND",
                 .message = address +
                            (driver.empty() ? " has no driver" : " is bound to " + driver) +
                            ", not to vfio-pci",
                 .device = address,
                 .hint = "npx p2pmem bind " + address + " looks who uses it, and binds it"};
  }
  const std::string group = linkName(device / "iommu_group");
  if (group.empty())
    return Error{.code = "NO_IOMMU",
                 .message = address + " is in no IOMMU group",
                 .device = address,
                 .hint =
                     "switch the IOMMU on in the firmware and boot with intel_iommu=on or "
                     "amd_iommu=on"};
  return std::stoi(group);
}

std::string describeOutsiders(int group) {
  std::string names;
  std::error_code error;
  const fs::path members = "/sys/kernel/iommu_groups/" + std::to_string(group) + "/devices";
  for (fs::directory_iterator entry(members, error), end; !error && entry != end;
       entry.increment(error)) {
    const fs::path member = entry->path();
    const std::string driver = linkName(member / "driver");
    if (driver.empty() || driver == "pci-stub" || ownedByVfio(driver) || isBridge(member)) continue;
    if (!names.empty()) names += ", ";
    names += member.filename().string() + " (" + driver + ")";
  }
  return names.empty() ? "another device" : names;
}

}  // namespace p2pmem::sysfs
