// What befalls the NIC's packets on demand, and those that come late.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "loopback/configuration.h"
#include "loopback/rnic_packet.h"

namespace p2pmem::loopback {

class RnicFaults {
 public:
  using Clock = std::chrono::steady_clock;

  /// A packet that is under way, with its data.
  struct Late {
    Clock::time_point due;
    bool isRemote;  // to the machine in another process
    rnic::Packet packet;
    std::vector<uint8_t> payload;
  };

  void add(const Fault& fault) { rules_.push_back({fault}); }
  void clear() { rules_.clear(); }

  bool empty() const { return rules_.empty(); }
  /// What is to happen to the packet that is sent now, if anything.
  std::optional<Fault> match() {
    std::optional<Fault> met;
    for (Rule& rule : rules_) {
      if (rule.seen++ < rule.fault.after || met) continue;
      met = rule.fault;
      rule.struck++;
    }
    std::erase_if(rules_, [](const Rule& rule) { return rule.struck >= rule.fault.count; });
    return met;
  }

  void hold(Late late) { late_.push_back(std::move(late)); }
  bool holds() const { return !late_.empty(); }
  void dropHeld() { late_.clear(); }
  std::optional<Late> takeDue(Clock::time_point now) {
    for (auto at = late_.begin(); at != late_.end(); at++) {
      if (at->due > now) continue;
      Late due = std::move(*at);
      late_.erase(at);
      return due;
    }
    return std::nullopt;
  }

 private:
  struct Rule {
    Fault fault;
    uint32_t seen = 0;
    uint32_t struck = 0;
  };

  std::vector<Rule> rules_;
  std::deque<Late> late_;
};

}  // namespace p2pmem::loopback
