#include "loopback/nvme_features.h"

#include <algorithm>
#include <cstring>

namespace p2pmem::loopback {

namespace {

constexpr uint32_t kTemperatureThreshold = 343;  // kelvins

// Get Features, dword 10: Select (§5.13).
enum Select : uint32_t { kCurrent = 0, kDefault = 1, kSaved = 2, kCapabilities = 3 };
constexpr uint32_t kChangeable = 1 << 2;  // and neither saveable nor of a namespace

// Timestamp (§5.21.1.14): 48 bits of milliseconds, then the origin: 0 a reset, 1 the host.
constexpr uint64_t kTimestampMask = 0xffffffffffff;
constexpr uint32_t kTimestampOriginShift = 49;

// Host Behavior Support (NVMe 2.0 §5.27.1.18): Advanced Command Retry Enable; Copy Descriptor
// Formats Enable.
constexpr size_t kAcreAt = 0;
constexpr size_t kCdfeAt = 4;

uint16_t low(uint32_t dword) { return static_cast<uint16_t>(dword); }
uint16_t high(uint32_t dword) { return static_cast<uint16_t>(dword >> 16); }

bool isKnown(uint8_t id) {
  constexpr uint8_t kLbaRangeType = 0x03;
  return (id >= nvme::kFeatureArbitration && id <= nvme::kFeatureAsyncEvent &&
          id != kLbaRangeType) ||
         id == nvme::kFeatureTimestamp || id == nvme::kFeatureHostBehavior;
}

}  // namespace

NvmeFeatures::NvmeFeatures(NvmeQueues& queues, NvmeTransfer& transfer, NvmeIo& io)
    : queues_(queues), transfer_(transfer), io_(io), interruptVectors_(queues.pairs()) {
  reset();
}

NvmeFeatures::Values NvmeFeatures::defaults() const {
  Values values{};
  values[nvme::kFeatureTemperatureThreshold] = kTemperatureThreshold;
  values[nvme::kFeatureVolatileWriteCache] = 1;
  // The specification knows no default (§5.21.1.7), only that what is reported is what there is: a
  // host that does not ask for a number has all of them.
  const uint32_t most = queues_.pairs() - 2;  // 0's based, without the admin pair
  values[nvme::kFeatureNumberOfQueues] = most | most << 16;
  return values;
}

void NvmeFeatures::reset() {
  values_ = defaults();
  for (uint32_t i = 0; i < interruptVectors_.size(); i++) interruptVectors_[i] = i;
  timestamp_ = 0;
  timestampSet_ = Clock::now();
  timestampFromHost_ = false;
  hostBehavior_.fill(0);
  io_.copy().enableFormats(0);
}

NvmeFeatures::Coalescing NvmeFeatures::coalescing(uint16_t vector) const {
  constexpr uint32_t kCoalescingDisable = 1 << 16;  // §5.21.1.9
  const uint32_t value = values_[nvme::kFeatureInterruptCoalescing];
  if (value == 0 || (interruptVectors_[vector] & kCoalescingDisable)) return {};
  // §5.21.1.8: THR, 0's based, and TIME, in 100 us.
  return {(value & 0xff) + 1, std::chrono::microseconds(100 * (value >> 8 & 0xff))};
}

bool NvmeFeatures::wantsEvent(uint32_t event) const {
  // Figure 282: the bits of the critical warnings whose events have information 0, 1 and 2
  // (reliability and what goes with it, temperature, spare), and the first bit of the notices.
  constexpr uint32_t kWarnings[] = {0x1c, 0x02, 0x01};
  constexpr uint32_t kFirstNotice = 8;
  const uint32_t enabled = values_[nvme::kFeatureAsyncEvent];
  const uint32_t information = event >> 8 & 0xff;
  switch (event & 0x7) {
    case nvme::kEventTypeHealth:
      return information < std::size(kWarnings) && (enabled & kWarnings[information]);
    case nvme::kEventTypeNotice:
      return information < 32 - kFirstNotice && (enabled >> (kFirstNotice + information) & 1);
    default:
      return true;
  }
}

nvme::CommandStatus NvmeFeatures::setNumberOfQueues(uint32_t value, uint32_t& result) {
  // §5.21.1.7: before the first I/O queue, and 65536 queues are not to be had.
  if (low(value) == 0xffff || high(value) == 0xffff) return nvme::kInvalidField;
  if (queues_.hasIoQueues()) return nvme::kCommandSequenceError;
  const uint32_t most = queues_.pairs() - 2;
  result = std::min<uint32_t>(low(value), most) | std::min<uint32_t>(high(value), most) << 16;
  values_[nvme::kFeatureNumberOfQueues] = result;
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeFeatures::setTimestamp(const nvme::Command& command) {
  uint64_t value = 0;
  if (const auto failed = transfer_.receive(command, &value, sizeof value)) return failed;
  timestamp_ = value & kTimestampMask;
  timestampSet_ = Clock::now();
  timestampFromHost_ = true;
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeFeatures::sendTimestamp(const nvme::Command& command, bool isDefault) {
  const auto since =
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - timestampSet_);
  uint64_t value = (timestamp_ + static_cast<uint64_t>(since.count())) & kTimestampMask;
  if (timestampFromHost_) value |= uint64_t{1} << kTimestampOriginShift;
  if (isDefault) value = 0;
  return transfer_.send(command, &value, sizeof value);
}

nvme::CommandStatus NvmeFeatures::setHostBehavior(const nvme::Command& command) {
  HostBehavior wanted;
  if (const auto failed = transfer_.receive(command, wanted.data(), wanted.size())) return failed;
  uint16_t formats = 0;
  memcpy(&formats, wanted.data() + kCdfeAt, sizeof formats);
  if (wanted[kAcreAt] > 1 || (formats & ~io_.copy().configuration().formats))
    return nvme::kInvalidField;
  hostBehavior_ = wanted;
  io_.copy().enableFormats(formats);
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeFeatures::set(const nvme::Command& command, uint32_t& result) {
  const auto id = static_cast<uint8_t>(command.dw[10]);
  const uint32_t value = command.dw[11];
  const bool save = command.dw[10] >> 31 & 1;
  if (!isKnown(id)) return nvme::kInvalidField;
  if (save) return nvme::kFeatureNotSaveable;
  switch (id) {
    case nvme::kFeatureNumberOfQueues:
      return setNumberOfQueues(value, result);
    case nvme::kFeaturePowerManagement:
      if ((value & 0x1f) != 0) return nvme::kInvalidField;  // there is power state 0 only
      break;
    case nvme::kFeatureInterruptVector:
      if (low(value) >= interruptVectors_.size()) return nvme::kInvalidField;
      interruptVectors_[low(value)] = value & 0x1ffff;
      return nvme::kSuccess;
    case nvme::kFeatureTimestamp:
      return setTimestamp(command);
    case nvme::kFeatureHostBehavior:
      return setHostBehavior(command);
    default:
      break;
  }
  values_[id] = value;
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeFeatures::get(const nvme::Command& command, uint32_t& result) {
  const auto id = static_cast<uint8_t>(command.dw[10]);
  const uint32_t select = command.dw[10] >> 8 & 0x7;
  if (!isKnown(id) || select > kCapabilities) return nvme::kInvalidField;
  if (select == kCapabilities) {
    result = kChangeable;
    return nvme::kSuccess;
  }
  // What cannot be saved has its default for a saved value (§5.13).
  const bool isDefault = select == kDefault || select == kSaved;
  switch (id) {
    case nvme::kFeatureInterruptVector: {
      const uint16_t vector = low(command.dw[11]);
      if (vector >= interruptVectors_.size()) return nvme::kInvalidField;
      result = isDefault ? vector : interruptVectors_[vector];
      return nvme::kSuccess;
    }
    case nvme::kFeatureTimestamp:
      return sendTimestamp(command, isDefault);
    case nvme::kFeatureHostBehavior: {
      const HostBehavior none{};
      const HostBehavior& data = isDefault ? none : hostBehavior_;
      return transfer_.send(command, data.data(), data.size());
    }
    default:
      result = isDefault ? defaults()[id] : values_[id];
      return nvme::kSuccess;
  }
}

}  // namespace p2pmem::loopback
