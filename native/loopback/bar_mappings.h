// Which parts of a function's BARs are mapped into the process. With a mutex of its own, not the
// machine's lock: a mapping goes whenever its last user lets go of it, whatever that thread holds.
#pragma once

#include <mutex>
#include <vector>

namespace p2pmem::loopback {

class BarMemory;

class BarMappings {
 public:
  void add(BarMemory& memory) {
    const std::lock_guard guard(mutex_);
    list_.push_back(&memory);
  }
  void remove(BarMemory& memory) {
    const std::lock_guard guard(mutex_);
    std::erase(list_, &memory);
  }
  void clear() {
    const std::lock_guard guard(mutex_);
    list_.clear();
  }
  /// Calls with each until one call answers false. None of them goes meanwhile.
  template <class Visit>
  void visit(Visit visit) {
    const std::lock_guard guard(mutex_);
    for (BarMemory* memory : list_)
      if (!visit(*memory)) return;
  }

 private:
  std::mutex mutex_;
  std::vector<BarMemory*> list_;
};

}  // namespace p2pmem::loopback
