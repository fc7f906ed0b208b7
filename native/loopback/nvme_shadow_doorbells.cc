// Shadow doorbells (NVMe 1.4 §5.7): the host writes doorbells to memory, and to the register only
// where the controller has asked for it. A controller that read them all the time would never
// notice a host that does not ring; so this one looks only where it has work, and else waits to be
// called.
#include <atomic>

#include "loopback/nvme_queues.h"

namespace p2pmem::loopback {

namespace {
constexpr uint32_t kNotRung = 0xffffffff;
}

void NvmeQueues::setShadow(uint64_t shadow, uint64_t eventIndexes) {
  isShadowed_ = true;
  shadow_ = shadow;
  eventIndexes_ = eventIndexes;
}

template <class Queue>
void NvmeQueues::takeShadow(Queue& queue, bool completion) {
  uint8_t* memory = requester_.control(shadow_ + offsetOf(queue.id, completion), 4, false);
  if (!memory) return;  // dropped: nothing new is heard of
  take(queue,
       std::atomic_ref(*reinterpret_cast<uint32_t*>(memory)).load(std::memory_order_acquire));
}

// A doorbell is memory: that it was written shows only if it holds what no host writes.
template <class Queue>
bool NvmeQueues::isWoken(Queue& queue, bool completion) {
  if (queue.asleep)
    queue.asleep = std::atomic_ref(*doorbell(queue.id, completion)).load() == kNotRung;
  return !queue.asleep;
}

void NvmeQueues::askForRing(uint16_t id, bool completion, uint32_t value) {
  std::atomic_ref(*doorbell(id, completion)).store(kNotRung);
  uint8_t* memory = requester_.control(eventIndexes_ + offsetOf(id, completion), 4, true);
  if (!memory) return;
  std::atomic_ref(*reinterpret_cast<uint32_t*>(memory)).store(value, std::memory_order_relaxed);
  // The host writes the shadow and then reads this; we write this and then read the shadow. One of
  // us sees the other's write.
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void NvmeQueues::refreshShadow(SubmissionQueue& queue) {
  if (!isWoken(queue, false)) return;
  takeShadow(queue, false);
  if (queue.head != queue.tail) return;
  askForRing(queue.id, false, queue.tail);
  takeShadow(queue, false);
  queue.asleep = queue.head == queue.tail;
}

void NvmeQueues::refreshShadow(CompletionQueue& queue) {
  if (!isWoken(queue, true)) return;
  takeShadow(queue, true);
  if (!isFull(queue)) return;
  askForRing(queue.id, true, queue.head);
  takeShadow(queue, true);
  queue.asleep = isFull(queue);
}

}  // namespace p2pmem::loopback
