// The controller's registers (NVMe 1.4 §3.1), and what writing them brings about.
#include "loopback/nvme_controller.h"

namespace p2pmem::loopback {

namespace {

constexpr uint64_t kReadyTimeout = 15;  // CAP.TO, in half seconds

uint32_t lowHalf(uint64_t value) { return static_cast<uint32_t>(value); }
uint32_t highHalf(uint64_t value) { return static_cast<uint32_t>(value >> 32); }
void setLow(uint64_t& reg, uint32_t value) { reg = (reg & ~0xffffffffull) | value; }
void setHigh(uint64_t& reg, uint32_t value) { reg = (reg & 0xffffffffull) | uint64_t{value} << 32; }

}  // namespace

uint32_t NvmeController::read32(uint64_t offset) const {
  const uint64_t cap = (kMaxQueueEntries - 1) | nvme::kCapCqr | kReadyTimeout << nvme::kCapToShift |
                       uint64_t{doorbellStride_} << nvme::kCapDstrdShift | nvme::kCapCssNvm |
                       (cmb_.exists() && !cmb_.isLegacy() ? nvme::kCapCmbs : 0) |
                       (pmr_.exists() ? nvme::kCapPmrs : 0);
  switch (offset) {
    case nvme::kCap:
      return lowHalf(cap);
    case nvme::kCap + 4:
      return highHalf(cap);
    case nvme::kVs:
      return facts_.version;
    case nvme::kIntms:
    case nvme::kIntmc:
      return interruptMask_;
    case nvme::kCc:
      return cc_;
    case nvme::kCsts:
      return csts_;
    case nvme::kAqa:
      return aqa_;
    case nvme::kAsq:
      return lowHalf(asq_);
    case nvme::kAsq + 4:
      return highHalf(asq_);
    case nvme::kAcq:
      return lowHalf(acq_);
    case nvme::kAcq + 4:
      return highHalf(acq_);
    case nvme::kCmbloc:
      return cmb_.location();
    case nvme::kCmbsz:
      return cmb_.size();
    case nvme::kCmbmsc:
      return lowHalf(cmb_.control());
    case nvme::kCmbmsc + 4:
      return highHalf(cmb_.control());
    case nvme::kCmbsts:
      return cmb_.status();
    default:
      return msix().holds(offset) ? msix().read(offset) : pmr_.read(offset);
  }
}

uint64_t NvmeController::readRegister(uint32_t bar, uint64_t offset, uint32_t width) {
  if (bar != 0) return 0;
  if (width == 8) return read32(offset) | uint64_t{read32(offset + 4)} << 32;
  const uint64_t dword = read32(offset & ~uint64_t{3}) >> (offset & 3) * 8;
  return width == 4 ? dword : dword & ((1u << width * 8) - 1);
}

void NvmeController::writeRegister(uint32_t bar, uint64_t offset, uint32_t width, uint64_t value) {
  // Registers take 32-bit accesses; 64-bit ones only where they are 64 bits wide (§3.1).
  if (bar != 0 || width < 4) return;
  // The upper half first: the lower one is what takes effect in CMBMSC.
  if (width == 8) write32(offset + 4, highHalf(value));
  write32(offset, lowHalf(value));
}

void NvmeController::write32(uint64_t offset, uint32_t value) {
  switch (offset) {
    case nvme::kIntms:
      interruptMask_ |= value;
      break;
    case nvme::kIntmc:
      interruptMask_ &= ~value;
      break;
    case nvme::kCc:
      writeCc(value);
      break;
    case nvme::kAqa:
      aqa_ = value & 0x0fff0fff;
      break;
    case nvme::kAsq:
      setLow(asq_, value & ~0xfffu);
      break;
    case nvme::kAsq + 4:
      setHigh(asq_, value);
      break;
    case nvme::kAcq:
      setLow(acq_, value & ~0xfffu);
      break;
    case nvme::kAcq + 4:
      setHigh(acq_, value);
      break;
    case nvme::kCmbmsc:
      cmb_.writeControlLow(value);
      break;
    case nvme::kCmbmsc + 4:
      cmb_.writeControlHigh(value);
      break;
    default:
      msix().holds(offset) ? writeMsix(offset, value) : pmr_.write(offset, value);
  }
}

void NvmeController::writeCc(uint32_t value) {
  const uint32_t before = cc_;
  cc_ = value & 0x00fffff1;
  if (!(before & nvme::kCcEn) && (value & nvme::kCcEn) && !(csts_ & nvme::kCstsRdy)) {
    csts_ &= ~nvme::kCstsShstMask;
    starting_ = true;
  }
  if ((before & nvme::kCcEn) && !(value & nvme::kCcEn) && !isUnstoppable_) {
    // A controller reset (§7.3.2): queues go, AQA, ASQ, ACQ and CMBMSC stay.
    queues_.clear();
    held_.clear();
    events_.clear();
    coalescing_.clear();
    admin_.reset();
    interruptMask_ = 0;
    csts_ = 0;
    starting_ = stopping_ = false;
  }
  if (nvme::ccShn(value) != 0 && nvme::ccShn(before) == 0) {
    csts_ = (csts_ & ~nvme::kCstsShstMask) | nvme::kCstsShstOccurring;
    stopping_ = true;
  }
}

void NvmeController::start() {
  starting_ = false;
  const uint32_t submissions = (aqa_ & 0xfff) + 1;
  const uint32_t completions = (aqa_ >> 16 & 0xfff) + 1;
  const bool valid =
      nvme::ccCss(cc_) == 0 && nvme::ccMps(cc_) == 0 && nvme::ccAms(cc_) == 0 && submissions >= 2 &&
      completions >= 2 &&
      cmb_.checkQueue(asq_, uint64_t{submissions} * nvme::kSqeSize, true) == nvme::kSuccess &&
      cmb_.checkQueue(acq_, uint64_t{completions} * nvme::kCqeSize, false) == nvme::kSuccess;
  if (!valid) {
    fail();
    return;
  }
  queues_.clear();
  (void)queues_.createCompletion(0, completions, acq_, 0, true);
  (void)queues_.createSubmission(0, submissions, asq_, 0);
  csts_ |= nvme::kCstsRdy;
}

}  // namespace p2pmem::loopback
