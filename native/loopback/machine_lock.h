// The lock of a loopback machine. Its device thread holds it for one round of work at a time and
// everybody else (register accesses, map and unmap, open and close) for one operation. So whoever
// holds it knows that no DMA is under way: that is how unmap() waits for devices.
#pragma once

#include <atomic>
#include <mutex>

namespace p2pmem::loopback {

class MachineLock {
 public:
  /// For everybody but the device thread, which sees them wait and steps aside: std::mutex is not
  /// fair, and that thread takes it again within nanoseconds.
  class Guard {
   public:
    explicit Guard(MachineLock& lock) : lock_(lock) {
      lock_.waiting_.fetch_add(1, std::memory_order_relaxed);
      lock_.mutex_.lock();
      lock_.waiting_.fetch_sub(1, std::memory_order_relaxed);
    }
    ~Guard() { lock_.mutex_.unlock(); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    MachineLock& lock_;
  };

  /// True while somebody waits: the device thread ends its round.
  bool contended() const { return waiting_.load(std::memory_order_relaxed) != 0; }

  /// For the device thread, and for its condition variable.
  std::mutex& mutex() { return mutex_; }

 private:
  std::mutex mutex_;
  std::atomic<int> waiting_{0};
};

}  // namespace p2pmem::loopback
