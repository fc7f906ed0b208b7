// The asynchronous events of an RDMA device for all who listen, in whichever thread: the device
// gives each of them once, and each listener hears of it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/status.h"
#include "core/unique_fd.h"

namespace p2pmem::rdma {

class RdmaDevice;

struct AsyncEvent {
  uint32_t type = 0;       // ibv_event_type
  uint32_t queuePair = 0;  // its number, where it is about one
  uint8_t port = 0;        // where it is about one
};

class AsyncListener;

/// Those who listen to one device.
class AsyncListeners {
 private:
  friend class AsyncListener;
  std::mutex mutex_;  // of what the device gives, and of all that each listener has
  std::vector<AsyncListener*> listeners_;
};

class AsyncListener {
 public:
  /// Hears of what the device gives from now on, and of what nobody has taken yet. Errors: IO.
  static Result<std::shared_ptr<AsyncListener>> create(std::shared_ptr<RdmaDevice> device);
  ~AsyncListener();
  AsyncListener(const AsyncListener&) = delete;
  AsyncListener& operator=(const AsyncListener&) = delete;

  /// Readable while take() may have one to give.
  int fd() const { return epoll_.get(); }
  std::optional<AsyncEvent> take();

 private:
  explicit AsyncListener(std::shared_ptr<RdmaDevice> device) : device_(std::move(device)) {}

  /// What follows with the listeners' mutex.
  void hear(const AsyncEvent& event);
  void dropFailedDevice();

  std::shared_ptr<RdmaDevice> device_;
  std::deque<AsyncEvent> events_;
  UniqueFd count_;  // of events_: a semaphore
  UniqueFd epoll_;  // of count_ and of the device's own descriptor
};

}  // namespace p2pmem::rdma
