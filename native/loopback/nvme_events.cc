#include "loopback/nvme_events.h"

#include <algorithm>
#include <cstring>

namespace p2pmem::loopback {

namespace {

constexpr size_t kErrorEntrySize = 64;
constexpr uint32_t kTypeErrorStatus = 0;
constexpr size_t kEventsKept = 8;

// Completion of an Asynchronous Event Request, dword 0 (§5.2.1): type, information, log page.
uint32_t eventResult(uint8_t cause) {
  return kTypeErrorStatus | uint32_t{cause} << 8 | uint32_t{nvme::kLogError} << 16;
}

}  // namespace

void NvmeEvents::clear() {
  requests_.clear();
  aborted_.clear();
  causes_.clear();
  errorMasked_ = false;
}

bool NvmeEvents::addRequest(uint16_t cid) {
  if (requests_.size() == kRequestLimit) return false;
  requests_.push_back(cid);
  return true;
}

bool NvmeEvents::abortRequest(uint16_t cid) {
  const auto request = std::find(requests_.begin(), requests_.end(), cid);
  if (request == requests_.end()) return false;
  requests_.erase(request);
  aborted_.push_back(cid);
  return true;
}

void NvmeEvents::raiseError(uint8_t cause) {
  if (causes_.size() < kEventsKept) causes_.push_back(cause);
}

std::optional<NvmeEvents::Completion> NvmeEvents::take() {
  if (!aborted_.empty()) {
    const Completion completion{aborted_.front(), 0, nvme::kAbortRequested};
    aborted_.erase(aborted_.begin());
    return completion;
  }
  if (errorMasked_ || causes_.empty() || requests_.empty()) return std::nullopt;
  const Completion completion{requests_.front(), eventResult(causes_.front()), nvme::kSuccess};
  requests_.erase(requests_.begin());
  causes_.erase(causes_.begin());
  errorMasked_ = true;
  return completion;
}

void NvmeEvents::logError(uint16_t queue, const nvme::Command& command,
                          nvme::CommandStatus status) {
  log_[errors_ % kErrorEntries] = {.count = errors_ + 1,
                                   .queue = queue,
                                   .cid = command.cid(),
                                   .status = static_cast<uint16_t>(status << 1),
                                   .lba = queue == 0 ? 0 : command.slba(),
                                   .nsid = command.nsid()};
  errors_++;
}

std::vector<uint8_t> NvmeEvents::errorLog() const {
  std::vector<uint8_t> page(kErrorEntries * kErrorEntrySize);
  const uint64_t kept = std::min<uint64_t>(errors_, kErrorEntries);
  for (uint64_t i = 0; i < kept; i++) {
    const ErrorEntry& entry = log_[(errors_ - 1 - i) % kErrorEntries];
    uint8_t* at = page.data() + i * kErrorEntrySize;
    memcpy(at, &entry.count, 8);
    memcpy(at + 8, &entry.queue, 2);
    memcpy(at + 10, &entry.cid, 2);
    memcpy(at + 12, &entry.status, 2);
    memset(at + 14, 0xff, 2);  // the error is tied to no byte of the command
    memcpy(at + 16, &entry.lba, 8);
    memcpy(at + 24, &entry.nsid, 4);
  }
  return page;
}

}  // namespace p2pmem::loopback
