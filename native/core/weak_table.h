// Objects that other threads' environments may open by number: an address cannot be sent by
// postMessage, a number can. It holds weak references only, so it keeps nothing alive. One table of
// a kind for the process.
#pragma once

#include <cstdint>
#include <iterator>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace p2pmem {

template <class T>
class WeakTable {
 public:
  static WeakTable& instance() {
    static WeakTable table;
    return table;
  }

  /// The number of `object`; the same one each time, and never used again for another.
  uint32_t idOf(const std::shared_ptr<T>& object) {
    const std::lock_guard lock(mutex_);
    uint32_t found = 0;
    for (auto entry = entries_.begin(); entry != entries_.end();) {
      const auto held = entry->second.lock();
      if (held == object) found = entry->first;
      entry = held ? std::next(entry) : entries_.erase(entry);
    }
    if (found == 0) entries_.emplace(found = ++last_, object);
    return found;
  }

  /// Empty if it is gone.
  std::shared_ptr<T> find(uint32_t id) {
    const std::lock_guard lock(mutex_);
    const auto entry = entries_.find(id);
    return entry == entries_.end() ? nullptr : entry->second.lock();
  }

 private:
  std::mutex mutex_;
  uint32_t last_ = 0;
  std::unordered_map<uint32_t, std::weak_ptr<T>> entries_;
};

}  // namespace p2pmem
