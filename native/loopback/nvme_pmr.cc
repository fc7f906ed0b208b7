#include "loopback/nvme_pmr.h"

namespace p2pmem::loopback {

namespace {

constexpr uint32_t kReadyTimeout = 10;  // PMRCAP.PMRTO, in half seconds

}  // namespace

NvmePmr::NvmePmr(const PmrConfiguration& configuration, Endpoint& endpoint, uint64_t& epoch)
    : configuration_(configuration), endpoint_(endpoint), epoch_(epoch) {
  if (exists())
    endpoint.bars[kBar] = {.size = configuration.size,
                           .prefetchable = true,
                           .memorySize = configuration.size,
                           .persistent = true,
                           .enabled = false};
}

Status NvmePmr::openFile() {
  Bar& bar = endpoint_.bars[kBar];
  if (configuration_.file.empty()) return {};
  auto memory = BarRam::open(configuration_.file, configuration_.size);
  if (!memory.ok()) return memory.take();
  bar.memory = std::move(memory.value());
  return {};
}

void NvmePmr::reset() {
  control_ = 0;
  memorySpace_ = 0;
  isReady_ = false;
  apply();
}

void NvmePmr::apply() {
  const uint64_t base = memorySpace_ & nvme::kPmrmscCba;
  const uint64_t size = configuration_.size;
  const bool enable = exists() && (memorySpace_ & nvme::kPmrmscCmse);
  isRefused_ = enable && base + size < base;
  InternalRange& range = endpoint_.internal[Endpoint::kInternalPmr];
  range = {};
  Bar& bar = endpoint_.bars[kBar];
  if (exists() && bar.enabled != isReady_) {
    bar.enabled = isReady_;
    endpoint_.presentBars();
  }
  if (enable && !isRefused_ && isReady_) range = {base, size, bar.memory->data()};
  epoch_++;
}

uint32_t NvmePmr::read(uint64_t offset) const {
  if (!exists()) return 0;
  switch (offset) {
    case nvme::kPmrcap:
      return nvme::kPmrcapRds | nvme::kPmrcapWds | kBar << nvme::kPmrcapBirShift |
             nvme::kPmrcapReadBarrier | kReadyTimeout << nvme::kPmrcapToShift | nvme::kPmrcapCmss;
    case nvme::kPmrctl:
      return control_;
    case nvme::kPmrsts:
      return (isReady_ ? 0 : nvme::kPmrstsNrdy) | (isRefused_ ? nvme::kPmrstsCbai : 0);
    case nvme::kPmrmscl:
      return static_cast<uint32_t>(memorySpace_);
    case nvme::kPmrmscu:
      return static_cast<uint32_t>(memorySpace_ >> 32);
    default:
      return 0;  // PMREBS and PMRSWTP: no elasticity buffer, no sustained throughput claimed
  }
}

void NvmePmr::write(uint64_t offset, uint32_t value) {
  if (!exists()) return;
  switch (offset) {
    case nvme::kPmrctl:
      control_ = value & nvme::kPmrctlEn;
      break;
    case nvme::kPmrmscl:
      memorySpace_ =
          (memorySpace_ & ~0xffffffffull) | (value & (nvme::kPmrmscCba | nvme::kPmrmscCmse));
      apply();
      break;
    case nvme::kPmrmscu:
      memorySpace_ = (memorySpace_ & 0xffffffff) | uint64_t{value} << 32;
      apply();
      break;
    default:
      break;
  }
}

void NvmePmr::poll() {
  isReady_ = isEnabled();
  apply();
}

}  // namespace p2pmem::loopback
