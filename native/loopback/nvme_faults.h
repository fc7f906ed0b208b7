// What a controller does wrong on demand: which command meets which fault, and the commands that it
// keeps to itself for a while or for good.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "loopback/configuration.h"
#include "loopback/nvme_spec.h"

namespace p2pmem::loopback {

class NvmeFaults {
 public:
  void add(const Fault& fault) { rules_.push_back({fault}); }
  void clear() { rules_.clear(); }

  /// None: match() need not be asked.
  bool empty() const { return rules_.empty(); }
  /// What is to happen to this command, if anything. Each call counts for every fault that it
  /// matches.
  std::optional<Fault> match(bool admin, const nvme::Command& command);

 private:
  struct Rule {
    Fault fault;
    uint32_t seen = 0;
    uint32_t struck = 0;
  };

  std::vector<Rule> rules_;
};

/// Commands that were fetched and are not completed.
class NvmeHeldCommands {
 public:
  using Clock = std::chrono::steady_clock;

  struct Entry {
    uint16_t queue;
    nvme::Command command;
    Clock::time_point due = Clock::time_point::max();
    bool abortable = true;
    std::optional<nvme::CommandStatus> ended = {};  // with this status, without being carried out
  };

  void hold(const Entry& entry) { entries_.push_back(entry); }
  bool empty() const { return entries_.empty(); }
  void clear() { entries_.clear(); }

  /// Abort: false if no such command is here, or if it does not let itself be aborted.
  bool abort(uint16_t queue, uint16_t cid);
  /// Its submission queue is about to be deleted.
  void endQueue(uint16_t queue);
  /// Its submission queue is gone: what is left here ends without a completion.
  void forgetQueue(uint16_t queue);
  /// Takes out one that is to be completed now. One at a time: carrying it out may end others.
  std::optional<Entry> takeDue();
  size_t size() const { return entries_.size(); }
  /// How many of them are Abort commands.
  size_t aborts() const;

 private:
  std::vector<Entry> entries_;
};

}  // namespace p2pmem::loopback
