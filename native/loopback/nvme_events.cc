#include "loopback/nvme_events.h"

#include <algorithm>
#include <cstring>

namespace p2pmem::loopback {

namespace {

constexpr size_t kErrorEntrySize = 64;
constexpr size_t kEventsKept = 8;

// Of dword 0 of the completion of an Asynchronous Event Request (§5.2.1).
uint32_t typeOf(uint32_t event) { return event & 0x7; }
uint32_t logPageOf(uint32_t event) { return event >> 16 & 0xff; }

}  // namespace

void NvmeEvents::clear() {
  requests_.clear();
  aborted_.clear();
  events_.clear();
  masking_.clear();
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

void NvmeEvents::raise(uint32_t event) {
  if (events_.size() < kEventsKept) events_.push_back(event);
}

void NvmeEvents::logRead(uint8_t logPage) {
  std::erase_if(masking_, [&](uint32_t event) { return logPageOf(event) == logPage; });
}

std::optional<NvmeEvents::Completion> NvmeEvents::take() {
  if (!aborted_.empty()) {
    const Completion completion{aborted_.front(), 0, nvme::kAbortRequested};
    aborted_.erase(aborted_.begin());
    return completion;
  }
  if (requests_.empty()) return std::nullopt;
  const auto event = std::find_if(events_.begin(), events_.end(), [&](uint32_t waiting) {
    return std::none_of(masking_.begin(), masking_.end(),
                        [&](uint32_t mask) { return typeOf(mask) == typeOf(waiting); });
  });
  if (event == events_.end()) return std::nullopt;
  const Completion completion{requests_.front(), *event, nvme::kSuccess};
  masking_.push_back(*event);
  requests_.erase(requests_.begin());
  events_.erase(event);
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
