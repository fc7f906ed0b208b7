#include "loopback/nvme_admin.h"

#include <algorithm>
#include <cstring>

namespace p2pmem::loopback {

namespace {

// Identify CNS values (figure 244).
constexpr uint8_t kCnsNamespace = 0x00;
constexpr uint8_t kCnsController = 0x01;
constexpr uint8_t kCnsActiveNamespaces = 0x02;
constexpr uint8_t kCnsDescriptors = 0x03;
constexpr uint32_t kBroadcastNsid = 0xffffffff;

constexpr uint32_t kTemperature = 300;  // kelvins
constexpr uint32_t kTemperatureThreshold = 343;

// Create I/O Completion Queue and Submission Queue, dword 11 (§5.3, §5.4).
constexpr uint32_t kPhysicallyContiguous = 1 << 0;
constexpr uint32_t kInterruptsEnabled = 1 << 1;

uint16_t low(uint32_t dword) { return static_cast<uint16_t>(dword); }
uint16_t high(uint32_t dword) { return static_cast<uint16_t>(dword >> 16); }

}  // namespace

NvmeAdmin::NvmeAdmin(const Parts& parts) : parts_(parts) { reset(); }

void NvmeAdmin::reset() {
  features_.fill(0);
  features_[nvme::kFeatureTemperatureThreshold] = kTemperatureThreshold;
  features_[nvme::kFeatureVolatileWriteCache] = 1;
  // The specification knows no default (§5.21.1.7), only that what is reported is what there is: a
  // host that does not ask for a number has all of them.
  const uint32_t most = parts_.queues.pairs() - 2;  // 0's based, without the admin pair
  features_[nvme::kFeatureNumberOfQueues] = most | most << 16;
  interruptVectors_.resize(parts_.queues.pairs());
  for (uint32_t i = 0; i < interruptVectors_.size(); i++) interruptVectors_[i] = i;
}

bool NvmeAdmin::wantsEvent(uint32_t event) const {
  // Figure 282: the bits of the critical warnings whose events have information 0, 1 and 2
  // (reliability and what goes with it, temperature, spare), and the first bit of the notices.
  constexpr uint32_t kWarnings[] = {0x1c, 0x02, 0x01};
  constexpr uint32_t kFirstNotice = 8;
  const uint32_t enabled = features_[nvme::kFeatureAsyncEvent];
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

std::optional<nvme::CommandStatus> NvmeAdmin::execute(const nvme::Command& command,
                                                      uint32_t configuration, uint32_t& result) {
  if (command.fuse() != 0 || command.psdt() != 0) return nvme::kInvalidField;
  switch (command.opcode()) {
    case nvme::kDeleteIoSq:
      return parts_.queues.deleteSubmission(low(command.dw[10]));
    case nvme::kCreateIoSq:
      return createSubmissionQueue(command, configuration);
    case nvme::kGetLogPage:
      return getLogPage(command);
    case nvme::kDeleteIoCq:
      return parts_.queues.deleteCompletion(low(command.dw[10]));
    case nvme::kCreateIoCq:
      return createCompletionQueue(command, configuration);
    case nvme::kIdentify:
      return identify(command);
    case nvme::kAbort:
      return abort(command, result);
    case nvme::kSetFeatures:
      return setFeatures(command, result);
    case nvme::kGetFeatures:
      return getFeatures(command, result);
    case nvme::kAsyncEventRequest:
      if (parts_.events.addRequest(command.cid())) return std::nullopt;
      return nvme::kAsyncEventLimitExceeded;
    default:
      return nvme::kInvalidOpcode;
  }
}

uint32_t NvmeAdmin::submissionQueues() const {
  return low(features_[nvme::kFeatureNumberOfQueues]) + 1u;
}

uint32_t NvmeAdmin::completionQueues() const {
  return high(features_[nvme::kFeatureNumberOfQueues]) + 1u;
}

nvme::CommandStatus NvmeAdmin::createCompletionQueue(const nvme::Command& command,
                                                     uint32_t configuration) {
  const uint16_t id = low(command.dw[10]);
  const uint32_t size = uint32_t{high(command.dw[10])} + 1;
  if (id == 0 || id > completionQueues()) return nvme::kInvalidQueueIdentifier;
  if (size < 2 || size > parts_.maxQueueEntries ||
      1u << nvme::ccIocqes(configuration) != nvme::kCqeSize)
    return nvme::kInvalidQueueSize;
  if (!(command.dw[11] & kPhysicallyContiguous)) return nvme::kInvalidField;  // CAP.CQR
  if (command.prp1() % nvme::kPageSize != 0) return nvme::kInvalidPrpOffset;
  if (const auto failed =
          parts_.cmb.checkQueue(command.prp1(), uint64_t{size} * nvme::kCqeSize, false))
    return failed;
  return parts_.queues.createCompletion(id, size, command.prp1(), high(command.dw[11]),
                                        command.dw[11] & kInterruptsEnabled);
}

nvme::CommandStatus NvmeAdmin::createSubmissionQueue(const nvme::Command& command,
                                                     uint32_t configuration) {
  const uint16_t id = low(command.dw[10]);
  const uint16_t completion = high(command.dw[11]);
  const uint32_t size = uint32_t{high(command.dw[10])} + 1;
  if (id == 0 || id > submissionQueues() || completion == 0 || completion > completionQueues())
    return nvme::kInvalidQueueIdentifier;
  if (size < 2 || size > parts_.maxQueueEntries ||
      1u << nvme::ccIosqes(configuration) != nvme::kSqeSize)
    return nvme::kInvalidQueueSize;
  if (!(command.dw[11] & kPhysicallyContiguous)) return nvme::kInvalidField;
  if (command.prp1() % nvme::kPageSize != 0) return nvme::kInvalidPrpOffset;
  if (const auto failed =
          parts_.cmb.checkQueue(command.prp1(), uint64_t{size} * nvme::kSqeSize, true))
    return failed;
  return parts_.queues.createSubmission(id, size, command.prp1(), completion);
}

nvme::CommandStatus NvmeAdmin::identify(const nvme::Command& command) {
  const uint32_t nsid = command.nsid();
  const size_t count = parts_.namespaces.size();
  IdentifyPage page;
  switch (static_cast<uint8_t>(command.dw[10])) {
    case kCnsNamespace:
      // Without namespace management the broadcast value asks for what is common to all; there is
      // nothing that must be, so it is refused as figure 244 allows.
      if (nsid == 0 || nsid > count) return nvme::kInvalidNamespace;
      page = identifyNamespace(parts_.namespaces[nsid - 1]);
      break;
    case kCnsController:
      page = identifyController(parts_.facts, count);
      break;
    case kCnsActiveNamespaces:
      if (nsid >= kBroadcastNsid - 1) return nvme::kInvalidNamespace;
      page = identifyActiveNamespaces(count, nsid);
      break;
    case kCnsDescriptors:
      if (nsid == 0 || nsid > count) return nvme::kInvalidNamespace;
      page = identifyDescriptors(parts_.namespaces[nsid - 1]);
      break;
    default:
      return nvme::kInvalidField;
  }
  return parts_.transfer.send(command, page.data(), page.size());
}

std::vector<uint8_t> NvmeAdmin::smartLog() const {
  std::vector<uint8_t> page(512);
  const auto put = [&](size_t offset, uint64_t value, size_t width) {
    memcpy(page.data() + offset, &value, width);
  };
  const NvmeStatistics& counts = parts_.io.statistics();
  put(1, kTemperature, 2);
  put(3, 100, 1);                                // available spare, percent
  put(4, 10, 1);                                 // its threshold
  put(32, (counts.readBlocks + 999) / 1000, 8);  // data units: thousands of 512 bytes
  put(48, (counts.writeBlocks + 999) / 1000, 8);
  put(64, counts.readCommands, 8);
  put(80, counts.writeCommands, 8);
  put(112, 1, 8);  // power cycles
  put(176, parts_.events.errors(), 8);
  return page;
}

nvme::CommandStatus NvmeAdmin::getLogPage(const nvme::Command& command) {
  // Dwords 10 to 13 (§5.14): LID, RAE, the number of dwords (0's based), the offset.
  const uint64_t length = ((uint64_t{low(command.dw[11])} << 16 | high(command.dw[10])) + 1) * 4;
  const uint64_t offset = command.dw[12] | uint64_t{command.dw[13]} << 32;
  const bool retainEvent = command.dw[10] >> 15 & 1;
  std::vector<uint8_t> page;
  switch (static_cast<uint8_t>(command.dw[10])) {
    case nvme::kLogError:
      page = parts_.events.errorLog();
      break;
    case nvme::kLogSmart:
      page = smartLog();
      break;
    case nvme::kLogFirmwareSlot:
      page.resize(512);
      page[0] = 1;  // AFI: running from slot 1
      memset(page.data() + 8, ' ', 8);
      memcpy(page.data() + 8, kNvmeFirmware, strlen(kNvmeFirmware));
      break;
    default:
      return nvme::kInvalidLogPage;
  }
  if (offset % 4 != 0 || offset > page.size() || length > parts_.maxTransfer)
    return nvme::kInvalidField;
  page.erase(page.begin(), page.begin() + static_cast<ptrdiff_t>(offset));
  page.resize(length);  // past the end of a log there are zeros
  const auto status = parts_.transfer.send(command, page.data(), length);
  if (status == nvme::kSuccess && !retainEvent)
    parts_.events.logRead(static_cast<uint8_t>(command.dw[10]));
  return status;
}

nvme::CommandStatus NvmeAdmin::setFeatures(const nvme::Command& command, uint32_t& result) {
  const auto id = static_cast<uint8_t>(command.dw[10]);
  const uint32_t value = command.dw[11];
  const bool save = command.dw[10] >> 31 & 1;
  if (id == 0 || id >= features_.size() || id == 0x03) return nvme::kInvalidField;
  if (save) return nvme::kFeatureNotSaveable;
  switch (id) {
    case nvme::kFeatureNumberOfQueues: {
      // §5.21.1.7: before the first I/O queue, and 65536 queues are not to be had.
      if (low(value) == 0xffff || high(value) == 0xffff) return nvme::kInvalidField;
      if (parts_.queues.hasIoQueues()) return nvme::kCommandSequenceError;
      const uint32_t most = parts_.queues.pairs() - 2;
      result = std::min<uint32_t>(low(value), most) | std::min<uint32_t>(high(value), most) << 16;
      features_[id] = result;
      return nvme::kSuccess;
    }
    case nvme::kFeaturePowerManagement:
      if ((value & 0x1f) != 0) return nvme::kInvalidField;  // there is power state 0 only
      break;
    case nvme::kFeatureInterruptVector:
      if (low(value) >= interruptVectors_.size()) return nvme::kInvalidField;
      interruptVectors_[low(value)] = value & 0x1ffff;
      return nvme::kSuccess;
    default:
      break;
  }
  features_[id] = value;
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeAdmin::getFeatures(const nvme::Command& command, uint32_t& result) {
  const auto id = static_cast<uint8_t>(command.dw[10]);
  const uint32_t select = command.dw[10] >> 8 & 0x7;
  // Select needs ONCS bit 4, which is clear.
  if (id == 0 || id >= features_.size() || id == 0x03 || select != 0) return nvme::kInvalidField;
  if (id == nvme::kFeatureInterruptVector) {
    if (low(command.dw[11]) >= interruptVectors_.size()) return nvme::kInvalidField;
    result = interruptVectors_[low(command.dw[11])];
    return nvme::kSuccess;
  }
  result = features_[id];
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeAdmin::abort(const nvme::Command& command, uint32_t& result) {
  // Commands are carried out as soon as they are fetched, so that all there is to abort are
  // outstanding Asynchronous Event Requests, and what a fault holds up.
  const uint16_t queue = low(command.dw[10]);
  const uint16_t cid = high(command.dw[10]);
  result = 1;  // not aborted
  if ((queue == 0 && parts_.events.abortRequest(cid)) || parts_.held.abort(queue, cid)) result = 0;
  return nvme::kSuccess;
}

}  // namespace p2pmem::loopback
