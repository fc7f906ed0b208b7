#include "loopback/nvme_queues.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace p2pmem::loopback {

namespace {

// The host stores entries first and the doorbell after; the acquire keeps our loads in that order.
uint32_t loadDoorbell(uint32_t* doorbell) {
  return std::atomic_ref(*doorbell).load(std::memory_order_acquire);
}

}  // namespace

bool NvmeQueues::hasIoQueues() const {
  return std::any_of(completions_.begin() + 1, completions_.end(),
                     [](const auto& queue) { return queue != nullptr; });
}

nvme::CommandStatus NvmeQueues::createCompletion(uint16_t id, uint32_t size, uint64_t base,
                                                 uint16_t vector, bool interrupts) {
  if (completions_[id]) return nvme::kInvalidQueueIdentifier;
  if (vector >= pairs_) return nvme::kInvalidInterruptVector;
  completions_[id] = std::make_unique<CompletionQueue>(CompletionQueue{
      .id = id, .base = base, .size = size, .vector = vector, .interrupts = interrupts});
  *doorbell(id, true) = 0;
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeQueues::createSubmission(uint16_t id, uint32_t size, uint64_t base,
                                                 uint16_t completionId) {
  if (!completions_[completionId]) return nvme::kCompletionQueueInvalid;
  if (submissions_[id]) return nvme::kInvalidQueueIdentifier;
  CompletionQueue* completion = completions_[completionId].get();
  completion->users++;
  submissions_[id] = std::make_unique<SubmissionQueue>(
      SubmissionQueue{.id = id, .base = base, .size = size, .completion = completion});
  *doorbell(id, false) = 0;
  active_.push_back(submissions_[id].get());
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeQueues::deleteCompletion(uint16_t id) {
  if (id == 0 || id >= pairs_ || !completions_[id]) return nvme::kInvalidQueueIdentifier;
  if (completions_[id]->users > 0) return nvme::kInvalidQueueDeletion;
  completions_[id].reset();
  *doorbell(id, true) = 0;
  return nvme::kSuccess;
}

nvme::CommandStatus NvmeQueues::deleteSubmission(uint16_t id) {
  if (id == 0 || id >= pairs_ || !submissions_[id]) return nvme::kInvalidQueueIdentifier;
  std::erase(active_, submissions_[id].get());
  submissions_[id]->completion->users--;
  submissions_[id].reset();
  *doorbell(id, false) = 0;
  return nvme::kSuccess;
}

void NvmeQueues::clear() {
  active_.clear();
  for (auto& queue : submissions_) queue.reset();
  for (auto& queue : completions_) queue.reset();
  isShadowed_ = false;
  if (doorbells_) memset(doorbells_, 0, doorbellBytes(pairs_, stride_));
}

void NvmeQueues::take(SubmissionQueue& queue, uint32_t value) {
  if (value == queue.doorbell) return;
  queue.doorbell = value;
  if (value < queue.size)
    queue.tail = value;
  else
    events_.raiseError(nvme::kEventInvalidDoorbellValue);
}

void NvmeQueues::take(CompletionQueue& queue, uint32_t value) {
  if (value == queue.doorbell) return;
  queue.doorbell = value;
  const auto distance = [&](uint32_t to) { return (to + queue.size - queue.head) % queue.size; };
  // The host can acknowledge what was posted and no more.
  if (value < queue.size && distance(value) <= distance(queue.tail))
    queue.head = value;
  else
    events_.raiseError(nvme::kEventInvalidDoorbellValue);
}

void NvmeQueues::refresh(SubmissionQueue& queue) {
  if (hasShadow(queue.id)) [[unlikely]]
    refreshShadow(queue);
  else
    take(queue, loadDoorbell(doorbell(queue.id, false)));
  CompletionQueue& completion = *queue.completion;
  if (hasShadow(completion.id)) [[unlikely]]
    refreshShadow(completion);
  else
    take(completion, loadDoorbell(doorbell(completion.id, true)));
}

void NvmeQueues::findStrayDoorbells() {
  for (uint16_t id = 0; id < pairs_; id++) {
    const auto check = [&](bool exists, uint32_t* stray) {
      if (exists || loadDoorbell(stray) == 0) return;
      *stray = 0;
      events_.raiseError(nvme::kEventInvalidDoorbellRegister);
    };
    check(submissions_[id] != nullptr, doorbell(id, false));
    check(completions_[id] != nullptr, doorbell(id, true));
  }
}

bool NvmeQueues::fetch(SubmissionQueue& queue, nvme::Command& command) {
  const uint8_t* entry =
      requester_.control(queue.base + uint64_t{queue.head} * nvme::kSqeSize, nvme::kSqeSize, false);
  if (!entry) return false;
  memcpy(&command, entry, nvme::kSqeSize);
  // The next one was written by another processor just now; it takes a while to come over.
  __builtin_prefetch(entry + nvme::kSqeSize);
  queue.head = queue.head + 1 == queue.size ? 0 : queue.head + 1;
  return true;
}

bool NvmeQueues::post(SubmissionQueue& queue, const CompletionEntry& entry) {
  CompletionQueue& completion = *queue.completion;
  uint8_t* memory = requester_.control(completion.base + uint64_t{completion.tail} * nvme::kCqeSize,
                                       nvme::kCqeSize, true);
  if (!memory) return false;
  auto* dwords = reinterpret_cast<uint32_t*>(memory);
  dwords[0] = entry.result;
  dwords[1] = 0;
  dwords[2] = entry.sqHead | uint32_t{queue.id} << 16;
  // The phase bit tells the host that all of it, and the data, is there: so it goes last.
  const uint32_t last = entry.cid | uint32_t{completion.phase} << 16 | uint32_t{entry.status} << 17;
  std::atomic_ref(dwords[3]).store(last, std::memory_order_release);
  if (++completion.tail == completion.size) {
    completion.tail = 0;
    completion.phase = !completion.phase;
  }
  completion.posted++;
  return true;
}

bool NvmeQueues::invertPhase(const CompletionQueue& completion) {
  uint8_t* memory = requester_.control(completion.base + uint64_t{completion.tail} * nvme::kCqeSize,
                                       nvme::kCqeSize, true);
  if (!memory) return false;
  constexpr uint32_t kPhase = 1 << 16;
  auto& last = reinterpret_cast<uint32_t*>(memory)[3];
  std::atomic_ref(last).store((last & ~kPhase) | (completion.phase ? kPhase : 0),
                              std::memory_order_release);
  return true;
}

}  // namespace p2pmem::loopback
