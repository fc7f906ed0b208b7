#include "loopback/rnic_wire.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace p2pmem::loopback {

using rnic::Packet;

namespace {

// Both ends are to be of one version.
constexpr char kGreeting[16] = "p2pmem-rnic 1\n";
constexpr size_t kLongestPayload = 4096;
constexpr size_t kInBytes = 1 << 20;
constexpr std::chrono::milliseconds kTryEvery{10};

sockaddr_un addressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.c_str(), std::min(path.size() + 1, sizeof address.sun_path));
  return address;
}

UniqueFd makeSocket() {
  return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

}  // namespace

RnicWire::~RnicWire() {
  if (listener_) unlink(configuration_.path.c_str());
}

Status RnicWire::open() {
  const std::string& path = configuration_.path;
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    errno = ENAMETOOLONG;
    return systemError("IO", "bind", "cannot make the socket " + path);
  }
  if (!isListener()) return {};
  const sockaddr_un address = addressOf(path);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  UniqueFd fd = makeSocket();
  int failed = bind(fd.get(), generic, sizeof address);
  if (failed != 0 && errno == EADDRINUSE) {
    // Left behind by a process that was killed, if nobody answers.
    const UniqueFd probe = makeSocket();
    if (::connect(probe.get(), generic, sizeof address) != 0 && errno == ECONNREFUSED) {
      unlink(path.c_str());
      failed = bind(fd.get(), generic, sizeof address);
    } else {
      errno = EADDRINUSE;
    }
  }
  if (failed != 0 || listen(fd.get(), 1) != 0)
    return systemError("IO", "bind", "cannot make the socket " + path);
  listener_ = std::move(fd);
  return {};
}

bool RnicWire::connect(Clock::time_point now) {
  if (now < nextTry_) return false;
  nextTry_ = now + kTryEvery;
  UniqueFd fd;
  if (isListener()) {
    fd.reset(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  } else {
    const sockaddr_un address = addressOf(configuration_.path);
    fd = makeSocket();
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      fd.reset();
  }
  if (!fd) return false;
  connection_ = std::move(fd);
  in_.resize(kInBytes);
  out_.assign(kGreeting, kGreeting + sizeof kGreeting);
  sent_ = filled_ = taken_ = 0;
  return true;
}

void RnicWire::drop() {
  connection_.reset();
  isGreeted_ = false;
  out_.clear();
  sent_ = filled_ = taken_ = 0;
}

Moved RnicWire::send(Requester& requester, const Packet& packet, RnicGather* payload) {
  const size_t at = out_.size();
  out_.resize(at + sizeof packet + packet.payload);
  memcpy(out_.data() + at, &packet, sizeof packet);
  if (packet.payload == 0) return Moved::all;
  RnicGather target;
  target.addPlain(out_.data() + at + sizeof packet, packet.payload);
  const Moved moved = move(requester, *payload, target, packet.payload);
  if (moved != Moved::all) out_.resize(at);
  return moved;
}

bool RnicWire::flush() {
  if (sent_ == out_.size()) return false;
  const ssize_t count = ::send(connection_.get(), out_.data() + sent_, out_.size() - sent_,
                               MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR) drop();
    return false;
  }
  sent_ += static_cast<size_t>(count);
  if (sent_ == out_.size()) {
    out_.clear();
    sent_ = 0;
  } else if (sent_ > kRoom) {
    out_.erase(out_.begin(), out_.begin() + static_cast<ptrdiff_t>(sent_));
    sent_ = 0;
  }
  return true;
}

bool RnicWire::fill() {
  if (!connection_) return false;
  if (taken_ > 0) {
    memmove(in_.data(), in_.data() + taken_, filled_ - taken_);
    filled_ -= taken_;
    taken_ = 0;
  }
  const ssize_t count =
      recv(connection_.get(), in_.data() + filled_, in_.size() - filled_, MSG_DONTWAIT);
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
    drop();
    return true;
  }
  if (count < 0) return false;
  filled_ += static_cast<size_t>(count);
  return true;
}

bool RnicWire::next(Packet& packet) {
  if (!isGreeted_) {
    if (filled_ < sizeof kGreeting) return false;
    if (memcmp(in_.data(), kGreeting, sizeof kGreeting) != 0) {
      drop();
      return false;
    }
    taken_ = sizeof kGreeting;
    isGreeted_ = true;
  }
  if (filled_ - taken_ < sizeof packet) return false;
  memcpy(&packet, in_.data() + taken_, sizeof packet);
  if (packet.payload > kLongestPayload || packet.kind > Packet::Kind::nak) {
    drop();  // no NIC of ours is there
    return false;
  }
  if (filled_ - taken_ < sizeof packet + packet.payload) return false;
  taken_ += sizeof packet + packet.payload;
  return true;
}

}  // namespace p2pmem::loopback
