// The queues of an NVMe controller (NVMe 1.4 §4.1): rings in memory that the host chose, and their
// doorbells.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "loopback/nvme_events.h"
#include "loopback/nvme_spec.h"
#include "loopback/requester.h"

namespace p2pmem::loopback {

struct CompletionQueue {
  uint16_t id;
  uint64_t base;
  uint32_t size;
  uint16_t vector;
  bool interrupts;
  uint32_t users = 0;  // submission queues that post here
  uint32_t head = 0;   // as the host's doorbell says
  uint32_t tail = 0;
  uint32_t doorbell = 0;  // last value seen
  bool asleep = false;    // the shadow is not read before the register is written
  bool phase = true;
  uint32_t posted = 0;  // entries since the last interrupt
};

struct SubmissionQueue {
  uint16_t id;
  uint64_t base;
  uint32_t size;
  CompletionQueue* completion;
  uint32_t head = 0;
  uint32_t tail = 0;
  uint32_t doorbell = 0;
  bool asleep = false;
};

/// What a completion entry says (§4.6), but for its phase.
struct CompletionEntry {
  uint16_t cid;
  nvme::CommandStatus status;
  uint32_t result;
  uint16_t sqHead;
};

class NvmeQueues {
 public:
  NvmeQueues(Requester& requester, NvmeEvents& events, uint32_t pairs, uint32_t stride)
      : requester_(requester),
        events_(events),
        pairs_(pairs),
        stride_(stride),
        submissions_(pairs),
        completions_(pairs) {}

  /// Bytes of doorbells for that many pairs (§3.1.24).
  static uint64_t doorbellBytes(uint32_t pairs, uint32_t stride) {
    return uint64_t{pairs} * 2 * (4u << stride);
  }

  void setDoorbells(uint8_t* memory) { doorbells_ = memory; }

  uint32_t pairs() const { return pairs_; }
  bool hasIoQueues() const;
  /// Those that exist, the admin queue first, in the order they are served.
  const std::vector<SubmissionQueue*>& active() const { return active_; }
  bool exists(uint16_t submission) const {
    return submission < pairs_ && submissions_[submission] != nullptr;
  }
  /// Null if it does not exist; `id` is below pairs().
  SubmissionQueue* submission(uint16_t id) { return submissions_[id].get(); }
  CompletionQueue& adminCompletion() { return *completions_[0]; }

  /// The commands that create and delete queues; `size` counts entries. Identifiers of what is to
  /// be created are below pairs().
  nvme::CommandStatus createCompletion(uint16_t id, uint32_t size, uint64_t base, uint16_t vector,
                                       bool interrupts);
  nvme::CommandStatus createSubmission(uint16_t id, uint32_t size, uint64_t base,
                                       uint16_t completionId);
  nvme::CommandStatus deleteCompletion(uint16_t id);
  nvme::CommandStatus deleteSubmission(uint16_t id);
  /// All queues go, admin queues too; doorbells read 0.
  void clear();

  /// Takes the doorbells of a queue and its completion queue; wrong values raise an event.
  void refresh(SubmissionQueue& queue);
  /// Doorbell Buffer Config (§5.7): a page of shadow doorbells, and one in which the controller
  /// says which of their values it wants to be told by a write to the register itself.
  void setShadow(uint64_t shadow, uint64_t eventIndexes);
  /// Looks for doorbells that were rung for queues that do not exist.
  void findStrayDoorbells();

  static bool isFull(const CompletionQueue& queue) {
    return (queue.tail + 1 == queue.size ? 0 : queue.tail + 1) == queue.head;
  }
  /// The next command, if there is one to be had; false: the queue's memory cannot be reached.
  bool fetch(SubmissionQueue& queue, nvme::Command& command);
  /// False: the queue's memory cannot be reached.
  bool post(SubmissionQueue& queue, const CompletionEntry& entry);
  /// The next entry gets the phase of one that was posted, and nothing else of it. As post().
  bool invertPhase(const CompletionQueue& completion);

 private:
  uint32_t offsetOf(uint16_t id, bool completion) const {
    return (2 * id + (completion ? 1 : 0)) * (4u << stride_);
  }
  void take(SubmissionQueue& queue, uint32_t value);
  void take(CompletionQueue& queue, uint32_t value);
  bool hasShadow(uint16_t id) const {
    return isShadowed_ && id != 0 && offsetOf(id, true) < nvme::kPageSize;
  }
  template <class Queue>
  void takeShadow(Queue& queue, bool completion);
  void refreshShadow(SubmissionQueue& queue);
  void refreshShadow(CompletionQueue& queue);
  template <class Queue>
  bool isWoken(Queue& queue, bool completion);
  void askForRing(uint16_t id, bool completion, uint32_t value);

  uint32_t* doorbell(uint16_t id, bool completion) {
    return reinterpret_cast<uint32_t*>(doorbells_ + offsetOf(id, completion));
  }

  Requester& requester_;
  NvmeEvents& events_;
  uint32_t pairs_;
  uint32_t stride_;
  uint8_t* doorbells_ = nullptr;
  bool isShadowed_ = false;
  uint64_t shadow_ = 0;
  uint64_t eventIndexes_ = 0;
  std::vector<std::unique_ptr<SubmissionQueue>> submissions_;  // by id
  std::vector<std::unique_ptr<CompletionQueue>> completions_;
  std::vector<SubmissionQueue*> active_;
};

}  // namespace p2pmem::loopback
