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
// Those of NVMe 2.0 that say with dword 11 which I/O command set they are about.
constexpr uint8_t kCnsSetNamespace = 0x05;
constexpr uint8_t kCnsSetController = 0x06;
constexpr uint8_t kCnsSetActiveNamespaces = 0x07;
constexpr uint8_t kCnsIndependentNamespace = 0x08;
constexpr uint32_t kBroadcastNsid = 0xffffffff;

constexpr uint32_t kTemperature = 300;  // kelvins

// Create I/O Completion Queue and Submission Queue, dword 11 (§5.3, §5.4).
constexpr uint32_t kPhysicallyContiguous = 1 << 0;
constexpr uint32_t kInterruptsEnabled = 1 << 1;

constexpr uint8_t kNvmCommandSet = 0;
uint8_t commandSet(const nvme::Command& command) { return command.dw[11] >> 24; }

uint16_t low(uint32_t dword) { return static_cast<uint16_t>(dword); }
uint16_t high(uint32_t dword) { return static_cast<uint16_t>(dword >> 16); }

// A dword for each identifier; bit 0: there is such a log page (NVMe 2.0 §5.16.1.1).
std::vector<uint8_t> supportedLogs() {
  std::vector<uint8_t> page(1024);
  for (const uint8_t id :
       {nvme::kLogSupported, nvme::kLogError, nvme::kLogSmart, nvme::kLogFirmwareSlot})
    page[4 * id] = 1;
  return page;
}

}  // namespace

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
      return features_.set(command, result);
    case nvme::kGetFeatures:
      return features_.get(command, result);
    case nvme::kDoorbellBufferConfig:
      return configureDoorbellBuffer(command);
    case nvme::kAsyncEventRequest:
      if (parts_.events.addRequest(command.cid())) return std::nullopt;
      return nvme::kAsyncEventLimitExceeded;
    default:
      return nvme::kInvalidOpcode;
  }
}

nvme::CommandStatus NvmeAdmin::createCompletionQueue(const nvme::Command& command,
                                                     uint32_t configuration) {
  const uint16_t id = low(command.dw[10]);
  const uint32_t size = uint32_t{high(command.dw[10])} + 1;
  if (id == 0 || id > features_.completionQueues()) return nvme::kInvalidQueueIdentifier;
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
  if (id == 0 || id > features_.submissionQueues() || completion == 0 ||
      completion > features_.completionQueues())
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
  IdentifyPage page{};
  switch (static_cast<uint8_t>(command.dw[10])) {
    case kCnsNamespace:
      // Without namespace management the broadcast value asks for what is common to all; there is
      // nothing that must be, so it is refused as figure 244 allows.
      if (nsid == 0 || nsid > count) return nvme::kInvalidNamespace;
      page = identifyNamespace(parts_.facts, parts_.namespaces[nsid - 1]);
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
    case kCnsSetNamespace:
      if (commandSet(command) != kNvmCommandSet) return nvme::kInvalidField;
      if (nsid == 0 || nsid > count) return nvme::kInvalidNamespace;
      break;  // all of it is about protection information
    case kCnsSetController:
      if (commandSet(command) != kNvmCommandSet) return nvme::kInvalidField;
      break;  // no limits beside MDTS
    case kCnsSetActiveNamespaces:
      if (commandSet(command) != kNvmCommandSet) return nvme::kInvalidField;
      if (nsid >= kBroadcastNsid - 1) return nvme::kInvalidNamespace;
      page = identifyActiveNamespaces(count, nsid);
      break;
    case kCnsIndependentNamespace:
      if (nsid == 0 || nsid > count) return nvme::kInvalidNamespace;
      page = identifyIndependentNamespace();
      break;
    default:
      return nvme::kInvalidField;
  }
  return parts_.transfer.send(command, page.data(), page.size());
}

nvme::CommandStatus NvmeAdmin::configureDoorbellBuffer(const nvme::Command& command) {
  if (!parts_.facts.shadowDoorbells) return nvme::kInvalidOpcode;
  const uint64_t shadow = command.prp1();
  const uint64_t eventIndexes = command.prp2();
  if (shadow % nvme::kPageSize != 0 || eventIndexes % nvme::kPageSize != 0)
    return nvme::kInvalidField;
  parts_.queues.setShadow(shadow, eventIndexes);
  return nvme::kSuccess;
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
    case nvme::kLogSupported:
      page = supportedLogs();
      break;
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

nvme::CommandStatus NvmeAdmin::abort(const nvme::Command& command, uint32_t& result) {
  // Commands are carried out as soon as they are fetched, so that all there is to abort are
  // outstanding Asynchronous Event Requests, and what a fault holds up.
  const uint16_t queue = low(command.dw[10]);
  const uint16_t cid = high(command.dw[10]);
  if (parts_.held.aborts() >= kNvmeAbortLimit) return nvme::kAbortLimitExceeded;
  result = 1;  // not aborted
  if ((queue == 0 && parts_.events.abortRequest(cid)) || parts_.held.abort(queue, cid)) result = 0;
  return nvme::kSuccess;
}

}  // namespace p2pmem::loopback
