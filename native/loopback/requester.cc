#include "loopback/requester.h"

#include <algorithm>

namespace p2pmem::loopback {

namespace {

constexpr uint32_t kInterruptMessageBytes = 4;

// How many of `length` bytes from `address` on lie up to `last`. An end would wrap where `last` is
// the last address there is, and so would the number of bytes up to it.
uint64_t lengthUpTo(uint64_t last, uint64_t address, uint64_t length) {
  return std::min(length - 1, last - address) + 1;
}

}  // namespace

Requester::Requester(Endpoint& self, Router& router, const uint64_t& epoch)
    : self_(self), router_(router), epoch_(epoch) {
  ones_.fill(0xff);
}

void Requester::remember(const Window& window) {
  windows_[next_] = window;
  next_ = (next_ + 1) % windows_.size();
}

Span Requester::refuse(uint64_t address, uint64_t length, bool write, const char* reason) {
  if (self_.domain) self_.domain->recordFault(self_, address, write, reason);
  return {nullptr, length, nullptr};
}

// What a root complex does that does not forward between its ports, and a BAR whose memory is
// disabled: writes are dropped, reads answered with ones, both without a word to anybody. At most a
// page of ones at a time.
Span Requester::answerNothing(uint64_t address, uint64_t length, bool write) {
  if (write) return {nullptr, length, nullptr};
  return {ones_.data(), lengthUpTo(address | (ones_.size() - 1), address, length), &nowhere_};
}

// Narrows a decision about `address`, which is not in this device's own memory, to addresses that
// are not either.
void Requester::keepOffInternal(uint64_t address, Router::Decision& decision) const {
  for (const InternalRange& range : self_.internal) {
    if (range.size == 0) continue;
    if (range.base > address) {
      decision.last = std::min(decision.last, range.base - 1);
      continue;
    }
    const uint64_t end = range.base + range.size;
    if (end <= decision.first) continue;
    if (decision.data) decision.data += end - decision.first;
    decision.first = end;
  }
}

Span Requester::resolveSlowly(uint64_t address, uint64_t length, bool write) {
  // Bus mastering off: nothing is put on the wire, so nobody sees a fault.
  if (!self_.busMaster() || !self_.domain) return {nullptr, length, nullptr};

  Window window{.epoch = epoch_, .access = {true, true}};
  const auto internal =
      std::find_if(self_.internal.begin(), self_.internal.end(),
                   [&](const InternalRange& range) { return range.contains(address); });
  if (internal != self_.internal.end()) {
    window.base = internal->base;
    window.length = internal->size;
    window.data = internal->data;
    window.route = &internal_;
  } else {
    Router::Decision decision = router_.decide(self_, address);
    keepOffInternal(address, decision);
    length = lengthUpTo(decision.last, address, length);
    if (decision.kind == Router::Decision::Kind::unsupported)
      return refuse(address, length, write, "unsupported request: no device answers there");
    if (decision.kind == Router::Decision::Kind::direct) {
      if (!decision.data) return answerNothing(address, length, write);
      window.base = decision.first;
      window.length = decision.last - decision.first + 1;
      window.data = decision.data;
      window.route = router_.route(self_, decision.target, false);
    } else {
      uint64_t holeLast = 0;
      const IommuMapping* mapping = self_.domain->find(address, holeLast);
      if (!mapping)
        return refuse(address, lengthUpTo(holeLast, address, length), write, "not mapped");
      const uint64_t mappingLast = mapping->iova + mapping->length - 1;
      length = lengthUpTo(mappingLast, address, length);
      if (!(write ? mapping->access.write : mapping->access.read))
        return refuse(address, length, write,
                      write ? "mapped, but not for writing" : "mapped, but not for reading");
      if (mapping->target && mapping->target->generation != mapping->generation)
        return refuse(address, length, write, "the mapped device was reset since");
      if (mapping->target && !mapping->target->memoryDecode())
        return refuse(address, length, write, "the mapped device has memory decode off");
      if (mapping->target && (!router_.forwards(write) || !mapping->bar->enabled))
        return answerNothing(address, length, write);
      // Only the part of the mapping for which the fabric decides alike.
      const uint64_t first = std::max(mapping->iova, decision.first);
      const uint64_t last = std::min(mappingLast, decision.last);
      window.base = first;
      window.length = last - first + 1;
      window.data = mapping->data + (first - mapping->iova);
      window.access = mapping->access;
      if (mapping->target && !router_.forwards(false)) window.access.read = false;
      window.route = router_.route(self_, mapping->target, true);
    }
  }
  remember(window);
  const uint64_t offset = address - window.base;
  return {window.data + offset, std::min(length, window.length - offset), window.route};
}

void Requester::countInterrupt() {
  router_.route(self_, nullptr, true)->writeControlBytes += kInterruptMessageBytes;
}

}  // namespace p2pmem::loopback
