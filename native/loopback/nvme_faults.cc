#include "loopback/nvme_faults.h"

#include <algorithm>

namespace p2pmem::loopback {

namespace {

bool matches(Fault::Trigger on, bool admin, uint8_t opcode) {
  using Trigger = Fault::Trigger;
  // An Asynchronous Event Request is not expected to complete: nothing could be seen.
  if (admin && opcode == nvme::kAsyncEventRequest) return false;
  switch (on) {
    case Trigger::read:
      return !admin && opcode == nvme::kRead;
    case Trigger::write:
      return !admin && opcode == nvme::kWrite;
    case Trigger::flush:
      return !admin && opcode == nvme::kFlush;
    case Trigger::compare:
      return !admin && opcode == nvme::kCompare;
    case Trigger::copy:
      return !admin && opcode == nvme::kCopy;
    case Trigger::identify:
      return admin && opcode == nvme::kIdentify;
    case Trigger::abort:
      return admin && opcode == nvme::kAbort;
    case Trigger::createQueue:
      return admin && (opcode == nvme::kCreateIoSq || opcode == nvme::kCreateIoCq);
    case Trigger::deleteQueue:
      return admin && (opcode == nvme::kDeleteIoSq || opcode == nvme::kDeleteIoCq);
    case Trigger::admin:
      return admin;
    case Trigger::io:
      return !admin;
    case Trigger::any:
      return true;
    case Trigger::packet:
    case Trigger::now:
      return false;
  }
  return false;
}

}  // namespace

std::optional<Fault> NvmeFaults::match(bool admin, const nvme::Command& command) {
  std::optional<Fault> met;
  for (Rule& rule : rules_) {
    if (!matches(rule.fault.on, admin, command.opcode()) || rule.seen++ < rule.fault.after || met)
      continue;
    met = rule.fault;
    rule.struck++;
  }
  std::erase_if(rules_, [](const Rule& rule) { return rule.struck >= rule.fault.count; });
  return met;
}

bool NvmeHeldCommands::abort(uint16_t queue, uint16_t cid) {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.queue == queue && entry.command.cid() == cid && entry.abortable && !entry.ended;
  });
  if (found == entries_.end()) return false;
  found->ended = nvme::kAbortRequested;
  return true;
}

void NvmeHeldCommands::endQueue(uint16_t queue) {
  for (Entry& entry : entries_)
    if (entry.queue == queue) entry.ended = nvme::kAbortedSqDeletion;
}

void NvmeHeldCommands::forgetQueue(uint16_t queue) {
  std::erase_if(entries_, [&](const Entry& entry) { return entry.queue == queue; });
}

size_t NvmeHeldCommands::aborts() const {
  return static_cast<size_t>(
      std::count_if(entries_.begin(), entries_.end(), [](const Entry& entry) {
        return entry.queue == 0 && entry.command.opcode() == nvme::kAbort;
      }));
}

std::optional<NvmeHeldCommands::Entry> NvmeHeldCommands::takeDue() {
  const Clock::time_point now = Clock::now();
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.ended || entry.due <= now;
  });
  if (found == entries_.end()) return std::nullopt;
  const Entry entry = *found;
  entries_.erase(found);
  return entry;
}

}  // namespace p2pmem::loopback
