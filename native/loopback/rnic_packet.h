// What goes over the NIC's wire: the headers of a packet (InfiniBand 1.4 §9.2 to §9.5) in a form of
// our own. The wire to another machine carries them as they are, so that both ends are to be of one
// version and one processor architecture.
#pragma once

#include <cstdint>
#include <type_traits>

namespace p2pmem::loopback::rnic {

struct Packet {
  enum class Kind : uint8_t { send, write, readRequest, readResponse, acknowledge, rnrNak, nak };
  enum Flag : uint8_t {
    kFirst = 1,
    kLast = 2,
    kImmediate = 4,
    kSolicited = 8,
    kCorrupt = 16,    // damaged on the way: its invariant CRC is wrong
    kPageFault = 32,  // of an RNR NAK: the receiver waits for its memory, not for a request
  };

  Kind kind = Kind::send;
  uint8_t flags = 0;
  uint8_t syndrome = 0;  // RNR timer, or NAK code
  uint8_t reserved = 0;
  uint32_t destination = 0;  // queue pair numbers
  uint32_t source = 0;
  uint32_t psn = 0;
  uint32_t immediate = 0;
  uint32_t rkey = 0;
  uint64_t address = 0;  // of the whole message
  uint64_t length = 0;   // of the whole message
  uint32_t payload = 0;  // bytes that follow
  uint32_t reserved2 = 0;
};
static_assert(std::is_trivially_copyable_v<Packet> && sizeof(Packet) == 48);

}  // namespace p2pmem::loopback::rnic
