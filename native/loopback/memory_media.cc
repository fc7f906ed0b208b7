#include "loopback/memory_media.h"

#include <algorithm>
#include <cstring>

namespace p2pmem::loopback {

Status MemoryMedia::prepare() {
  if (memory_) return {};
  // Populated by writing: pages that were never written would be read from the one zero page, which
  // is always in the cache, and measurements would flatter.
  auto memory = PinnedMemory::allocate(size(), false);
  if (!memory.ok()) return memory.take();
  memory_ = std::move(memory.value());
  return {};
}

bool MemoryMedia::read(uint64_t offset, std::span<const Run> runs) {
  const uint8_t* from = memory_->data() + offset;
  for (const Run& run : runs) {
    if (run.data) memcpy(run.data, from, run.length);
    from += run.length;
  }
  return true;
}

bool MemoryMedia::write(uint64_t offset, std::span<const Run> runs) {
  uint8_t* to = memory_->data() + offset;
  for (const Run& run : runs) {
    if (run.data)
      memcpy(to, run.data, run.length);
    else
      memset(to, 0, run.length);
    to += run.length;
  }
  return true;
}

bool MemoryMedia::zero(uint64_t offset, uint64_t length) {
  memset(memory_->data() + offset, 0, length);
  return true;
}

bool MemoryMedia::compare(uint64_t offset, std::span<const Run> runs, bool& equal) {
  const uint8_t* media = memory_->data() + offset;
  equal = true;
  for (const Run& run : runs) {
    if (run.data)
      equal = equal && memcmp(media, run.data, run.length) == 0;
    else
      equal = equal && std::all_of(media, media + run.length, [](uint8_t b) { return b == 0; });
    media += run.length;
  }
  return true;
}

}  // namespace p2pmem::loopback
