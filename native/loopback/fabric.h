// The PCI functions of a machine, put together as firmware and kernel find them: bus numbers, BAR
// addresses and bridge windows, IOMMU groups.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/status.h"
#include "loopback/pci_function.h"

namespace p2pmem::loopback {

class Fabric {
 public:
  /// Adds a function below `parent` (null: on the root bus).
  void add(std::unique_ptr<PciFunction> function, PciFunction* parent);

  /// Once all are added: numbers buses depth first, assigns addresses, forms IOMMU groups.
  /// Errors: BAD_MACHINE (more than the buses or addresses there are).
  Status enumerate();

  const std::vector<std::unique_ptr<PciFunction>>& functions() const { return functions_; }
  PciFunction* find(const std::string& address) const;

 private:
  Status numberBus(const std::vector<PciFunction*>& functions, uint8_t bus);
  void assignGroup(PciFunction& function);

  std::vector<std::unique_ptr<PciFunction>> functions_;
  std::vector<PciFunction*> rootBus_;
  uint32_t lastBus_ = 0;
  int groups_ = 0;
};

}  // namespace p2pmem::loopback
