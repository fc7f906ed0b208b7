// The NIC's ports: their names, and whether they reach each other.
#include "loopback/rnic.h"
#include "loopback/rnic_context.h"

namespace p2pmem::loopback {

using rnic::EventType;

namespace {

constexpr double kGigabits = 100;

}  // namespace

Status Rnic::checkPort(uint8_t number) const {
  if (number >= 1 && number <= kPorts) return {};
  return Error{.code = "NO_PORT",
               .message = name_ + " has no port " + std::to_string(number),
               .device = address,
               .hint = "its ports are 1 and 2"};
}

rdma::PortAttributes Rnic::port(uint8_t number) const {
  return {.state = isUp(number) ? rnic::kPortActive : rnic::kPortDown,
          .ethernet = true,
          .mtu = kMtu,
          .lid = 0,
          .gigabits = kGigabits};
}

// Of port 0: the node's. Other than those of the machine at the other end of a wire.
uint64_t Rnic::portGuid(uint8_t port) const {
  constexpr uint64_t kLocallyAdministered = 0x0200'00ff'fe00'0000;
  const bool connects = wire_.exists() && !wire_.isListener();
  return kLocallyAdministered | (connects ? 0x10000 : 0) | number_ << 4 | port;
}

std::vector<rdma::GidEntry> Rnic::gids(uint8_t port) const {
  const uint64_t guid = portGuid(port);
  // fe80::/64 and the address 10.77.x.y, as RoCE makes GIDs of a port's IP addresses.
  rdma::Gid linkLocal{0xfe, 0x80};
  for (int i = 0; i < 8; i++) linkLocal[15 - i] = static_cast<uint8_t>(guid >> 8 * i);
  rdma::Gid mapped{};
  mapped[10] = mapped[11] = 0xff;
  mapped[12] = 10;
  mapped[13] = 77;
  mapped[14] = static_cast<uint8_t>(guid >> 16);
  mapped[15] = static_cast<uint8_t>(guid);
  return {{0, linkLocal, rdma::GidEntry::Type::rocev2}, {1, mapped, rdma::GidEntry::Type::rocev2}};
}

bool Rnic::isUp(uint8_t) const {
  return !removed && !isAbandoned_ && !isLinkDown_ && (!wire_.exists() || wire_.isUp());
}

bool Rnic::isElsewhere(const rdma::Gid& gid) const {
  for (uint8_t port = 1; port <= kPorts; port++)
    for (const rdma::GidEntry& entry : gids(port))
      if (entry.gid == gid) return false;
  return true;
}

void Rnic::reportPorts(bool areUp) {
  const EventType type = areUp ? EventType::portActive : EventType::portError;
  for (RnicContext* context : contexts_)
    for (uint8_t port = 1; port <= kPorts; port++)
      context->report({.type = static_cast<uint32_t>(type), .port = port});
}

void Rnic::setLink(bool isDown) {
  if (isDown == isLinkDown_) return;
  isLinkDown_ = isDown;
  if (isDown) faults_.dropHeld();
  if (!wire_.exists() || wire_.isUp()) reportPorts(!isDown);
}

}  // namespace p2pmem::loopback
