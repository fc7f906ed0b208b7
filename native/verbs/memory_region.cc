#include "verbs/memory_region.h"

namespace p2pmem {

VerbsMemoryRegion::VerbsMemoryRegion(std::shared_ptr<VerbsProtectionDomain> domain, ibv::mr* mr,
                                     uint64_t address, uint64_t length,
                                     std::shared_ptr<Memory> memory)
    : domain_(std::move(domain)),
      memory_(std::move(memory)),
      mr_(mr),
      lkey_(mr->lkey),
      rkey_(mr->rkey),
      address_(address),
      length_(length) {}

VerbsMemoryRegion::~VerbsMemoryRegion() {
  if (deregister().ok()) return;
  // The device may still reach it: better to lose the memory than to give it to somebody else.
  (void)new std::shared_ptr<Memory>(std::move(memory_));
}

Status VerbsMemoryRegion::deregister() {
  if (mr_ == nullptr) return {};
  const VerbsDevice& device = domain_->device();
  if (const int number = verbsErrno(device.verbs().dereg_mr(mr_)); number != 0)
    return verbsError("IO", number, "ibv_dereg_mr", "cannot deregister a memory region",
                      device.name());
  mr_ = nullptr;
  memory_.reset();
  return {};
}

}  // namespace p2pmem
