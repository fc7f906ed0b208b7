// The bytes of a message, or of a part of it, where they lie: parts of memory regions, or plain
// bytes (inline data, what came over the wire to another machine). Used with the machine's lock
// held.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "loopback/requester.h"
#include "loopback/rnic_memory.h"

namespace p2pmem::loopback {

class RnicGather {
 public:
  static constexpr uint32_t kMaxPieces = 16;

  void add(RnicRegion& region, uint64_t offset, uint64_t length) {
    if (length > 0) pieces_[count_++] = {&region, nullptr, offset, length};
  }
  void addPlain(uint8_t* data, uint64_t length) {
    if (length > 0) pieces_[count_++] = {nullptr, data, 0, length};
  }

  void skip(uint64_t bytes) {
    while (bytes > 0 && at_ < count_) bytes -= advance(bytes);
  }

  /// Whether the device can reach the next `length` bytes; if not, faults are raised for them.
  bool isPresent(RnicMemory& memory, uint64_t length) const {
    bool present = true;
    for (uint32_t i = at_; i < count_ && length > 0; i++) {
      const Piece& piece = pieces_[i];
      const uint64_t part = std::min(length, piece.length);
      if (piece.region && !memory.isPresent(*piece.region, piece.offset, part)) present = false;
      length -= part;
    }
    return present;
  }

  /// What comes next, up to `length` bytes of it. `data` null: the request is dropped.
  Span next(Requester& requester, uint64_t length, bool write) {
    if (at_ >= count_) return {};
    const Piece& piece = pieces_[at_];
    length = std::min(length, piece.length);
    if (!piece.region) return {piece.plain + piece.offset, length, nullptr};
    return requester.resolve(piece.region->dma + piece.offset, length, write);
  }

  /// Goes on by `bytes`, no more than next() gave.
  uint64_t advance(uint64_t bytes) {
    if (at_ >= count_) return 0;
    Piece& piece = pieces_[at_];
    bytes = std::min(bytes, piece.length);
    piece.offset += bytes;
    piece.length -= bytes;
    if (piece.length == 0) at_++;
    return bytes;
  }

 private:
  struct Piece {
    RnicRegion* region;
    uint8_t* plain;
    uint64_t offset;
    uint64_t length;
  };

  std::array<Piece, kMaxPieces> pieces_{};
  uint32_t count_ = 0;
  uint32_t at_ = 0;
};

enum class Moved { all, sourceFailed, targetFailed };

/// Moves `length` bytes, once, and counts them on the ways that they took.
inline Moved move(Requester& requester, RnicGather& source, RnicGather& target, uint64_t length) {
  while (length > 0) {
    const Span from = source.next(requester, length, false);
    if (!from.data) return Moved::sourceFailed;
    const Span to = target.next(requester, from.length, true);
    if (!to.data) return Moved::targetFailed;
    memcpy(to.data, from.data, to.length);
    if (from.route) from.route->readBytes += to.length;
    if (to.route) to.route->writeBytes += to.length;
    source.advance(to.length);
    target.advance(to.length);
    length -= to.length;
  }
  return Moved::all;
}

}  // namespace p2pmem::loopback
