// The NIC's wire to a machine in another process: a Unix socket that carries packets. Used with the
// machine's lock held; no call blocks.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "core/status.h"
#include "core/unique_fd.h"
#include "loopback/configuration.h"
#include "loopback/rnic_gather.h"
#include "loopback/rnic_packet.h"

namespace p2pmem::loopback {

class RnicWire {
 public:
  using Clock = std::chrono::steady_clock;

  explicit RnicWire(const WireConfiguration& configuration) : configuration_(configuration) {}
  ~RnicWire();

  bool exists() const { return configuration_.role != WireConfiguration::Role::none; }
  bool isListener() const { return configuration_.role == WireConfiguration::Role::listen; }
  /// Both sides have said what they are.
  bool isUp() const { return isGreeted_; }

  /// Listens, where it is this side's part. Errors: IO.
  Status open();
  /// There is room for another packet.
  bool hasRoom() const { return out_.size() - sent_ < kRoom; }
  /// More waits than answers may add to what hasRoom() let through.
  bool isFull() const { return out_.size() - sent_ > 2 * kRoom; }
  Moved send(Requester& requester, const rnic::Packet& packet, RnicGather* payload);

  /// Moves what there is to move. Calls `arrived(packet, data)` for each packet. True if it did
  /// anything.
  template <class Arrived>
  bool poll(Clock::time_point now, Arrived arrived) {
    if (!connection_ && !connect(now)) return false;
    const bool flushed = flush();
    bool worked = fill() || flushed;
    while (connection_) {
      rnic::Packet packet;
      if (!next(packet)) break;
      arrived(packet, in_.data() + taken_ - packet.payload);
      worked = true;
    }
    return worked;
  }

  void drop();

 private:
  static constexpr size_t kRoom = 1 << 20;

  bool connect(Clock::time_point now);
  bool flush();
  bool fill();
  /// The next whole packet, which ends at taken_ with its data.
  bool next(rnic::Packet& packet);

  WireConfiguration configuration_;
  UniqueFd listener_;
  UniqueFd connection_;
  bool isGreeted_ = false;
  Clock::time_point nextTry_;
  std::vector<uint8_t> out_;
  size_t sent_ = 0;
  std::vector<uint8_t> in_;
  size_t filled_ = 0;
  size_t taken_ = 0;
};

}  // namespace p2pmem::loopback
