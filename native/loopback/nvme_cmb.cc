#include "loopback/nvme_cmb.h"

#include <bit>

namespace p2pmem::loopback {

NvmeCmb::NvmeCmb(const CmbConfiguration& configuration, Endpoint& endpoint, uint64_t& epoch)
    : configuration_(configuration),
      endpoint_(endpoint),
      range_(endpoint.internal[Endpoint::kInternalCmb]),
      epoch_(epoch) {
  if (!exists()) return;
  endpoint.bars[kBar] = {.size = std::bit_ceil(configuration.offset + configuration.size),
                         .prefetchable = true,
                         .memoryOffset = configuration.offset,
                         .memorySize = configuration.size};
}

void NvmeCmb::reset() {
  control_ = status_ = 0;
  range_ = {};
  if (!exists() || !isLegacy()) return;
  const Bar& bar = endpoint_.bars[kBar];
  range_ = {bar.address + bar.memoryOffset, bar.memorySize, bar.memory->data()};
}

// CMBSZ.SZU counts in steps of 16, from 4 KiB on.
uint32_t NvmeCmb::unitShift() const {
  return static_cast<uint32_t>(std::countr_zero(configuration_.unit));
}

uint32_t NvmeCmb::location() const {
  if (!isShown()) return 0;
  const uint32_t mixed =
      nvme::kCmblocCqmms | nvme::kCmblocCdpmls | nvme::kCmblocCdpcils | nvme::kCmblocCdmmms;
  return kBar | (configuration_.mixed ? mixed : 0) |
         static_cast<uint32_t>(configuration_.offset >> unitShift()) << nvme::kCmblocOfstShift;
}

uint32_t NvmeCmb::size() const {
  if (!isShown()) return 0;
  return (configuration_.sqs ? nvme::kCmbszSqs : 0) | (configuration_.cqs ? nvme::kCmbszCqs : 0) |
         (configuration_.lists ? nvme::kCmbszLists : 0) |
         (configuration_.rds ? nvme::kCmbszRds : 0) | (configuration_.wds ? nvme::kCmbszWds : 0) |
         (unitShift() - 12) / 4 << nvme::kCmbszSzuShift |
         static_cast<uint32_t>(configuration_.size >> unitShift()) << nvme::kCmbszSzShift;
}

void NvmeCmb::writeControlHigh(uint32_t value) {
  if (!isLegacy()) control_ = (control_ & 0xffffffff) | uint64_t{value} << 32;
}

void NvmeCmb::writeControlLow(uint32_t value) {
  if (isLegacy()) return;
  control_ = (control_ & ~0xffffffffull) |
             (value & (nvme::kCmbmscCba | nvme::kCmbmscCre | nvme::kCmbmscCmse));
  const uint64_t size = configuration_.size;
  const uint64_t base = control_ & nvme::kCmbmscCba;
  const bool enable = exists() && (control_ & nvme::kCmbmscCre) && (control_ & nvme::kCmbmscCmse);
  const bool overflow = base + size < base;
  status_ = enable && overflow ? nvme::kCmbstsCbai : 0;
  range_ = {};
  if (enable && !overflow) range_ = {base, size, endpoint_.bars[kBar].memory->data()};
  epoch_++;
}

nvme::CommandStatus NvmeCmb::checkQueue(uint64_t base, uint64_t bytes, bool isSubmission) const {
  const uint8_t place = placeOf(base) | placeOf(base + bytes - 1);
  if (!(place & kInside)) return nvme::kSuccess;
  if (!(isSubmission ? configuration_.sqs : configuration_.cqs)) return nvme::kInvalidUseOfCmb;
  if (place == (kInside | kOutside) && !configuration_.mixed) return nvme::kInvalidUseOfCmb;
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeCmb::checkUse(Place command, const Use& use, bool write) const {
  constexpr uint8_t kBoth = kInside | kOutside;
  // RDS is about commands whose data goes to the host, WDS about the others (§3.1.12).
  if ((use.data & kInside) && !(write ? configuration_.rds : configuration_.wds))
    return nvme::kInvalidUseOfCmb;
  if ((use.lists & kInside) && !configuration_.lists) return nvme::kInvalidUseOfCmb;
  if (configuration_.mixed) return nvme::kSuccess;
  // CDMMMS, CDPMLS, and CDPCILS: a list may lie in the CMB if the command does.
  const bool valid =
      use.data != kBoth && use.lists != kBoth && (command == kInside || !(use.lists & kInside));
  return valid ? nvme::kSuccess : nvme::kInvalidUseOfCmb;
}

}  // namespace p2pmem::loopback
