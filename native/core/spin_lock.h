// A lock for moments: whoever holds it makes no more than one short call. Uncontended it costs one
// locked instruction.
#pragma once

#include <sched.h>

#include <atomic>

namespace p2pmem {

class SpinLock {
 public:
  void lock() {
    for (int spins = 0; busy_.test_and_set(std::memory_order_acquire); spins++) {
      // Its holder may be in the kernel, or wait for this very processor.
      if (spins < 64)
        __builtin_ia32_pause();
      else
        sched_yield();
    }
  }
  bool try_lock() { return !busy_.test_and_set(std::memory_order_acquire); }
  void unlock() { busy_.clear(std::memory_order_release); }

 private:
  std::atomic_flag busy_;
};

}  // namespace p2pmem
