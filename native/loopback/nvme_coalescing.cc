#include "loopback/nvme_coalescing.h"

namespace p2pmem::loopback {

bool NvmeCoalescing::add(uint16_t vector, uint32_t entries, uint32_t least, Clock::duration time) {
  Vector& own = vectors_[vector];
  if (own.entries == 0) {
    own.due = Clock::now() + time;
    waiting_++;
  }
  own.entries += entries;
  if (own.entries < least) return false;
  clear(vector);
  return true;
}

void NvmeCoalescing::clear(uint16_t vector) {
  if (vectors_[vector].entries > 0) waiting_--;
  vectors_[vector].entries = 0;
}

void NvmeCoalescing::clear() {
  for (Vector& vector : vectors_) vector.entries = 0;
  waiting_ = 0;
}

std::optional<uint16_t> NvmeCoalescing::takeDue() {
  const Clock::time_point now = Clock::now();
  for (uint16_t vector = 0; vector < vectors_.size(); vector++) {
    if (vectors_[vector].entries == 0 || vectors_[vector].due > now) continue;
    clear(vector);
    return vector;
  }
  return std::nullopt;
}

}  // namespace p2pmem::loopback
