// The NIC's own memory, shared out in whole pages. With a mutex of its own: a part comes back when
// its last user lets go, whatever that thread holds.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "loopback/first_fit.h"

namespace p2pmem::loopback {

class RnicStore {
 public:
  explicit RnicStore(uint64_t size) : free_(0, size) {}

  /// Nothing where there is no such part, or `length` is not made of whole pages.
  std::optional<uint64_t> take(uint64_t length) {
    constexpr uint64_t kPage = 4096;
    if (length == 0 || length % kPage != 0) return std::nullopt;
    const std::lock_guard lock(mutex_);
    return free_.take(length);
  }
  void giveBack(uint64_t offset) {
    const std::lock_guard lock(mutex_);
    free_.giveBack(offset);
  }

 private:
  std::mutex mutex_;
  FirstFit free_;
};

}  // namespace p2pmem::loopback
