// Gives out parts of a range of addresses, first fit.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace p2pmem::loopback {

class FirstFit {
 public:
  FirstFit(uint64_t first, uint64_t end) : first_(first), end_(end) {}

  /// `length`: whole pages. Nothing where there is no room.
  std::optional<uint64_t> take(uint64_t length) {
    uint64_t at = first_;
    for (const auto& [base, size] : used_) {
      if (base - at >= length) break;
      at = base + size;
    }
    if (end_ - at < length) return std::nullopt;
    used_.emplace(at, length);
    return at;
  }
  void giveBack(uint64_t base) { used_.erase(base); }

 private:
  uint64_t first_;
  uint64_t end_;
  std::map<uint64_t, uint64_t> used_;  // length by address
};

}  // namespace p2pmem::loopback
