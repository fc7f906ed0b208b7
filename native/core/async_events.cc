#include "core/async_events.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "core/rdma.h"

namespace p2pmem::rdma {

namespace {

constexpr size_t kMaxEvents = 1024;

bool watch(int epoll, int fd) {
  epoll_event request = {.events = EPOLLIN, .data = {.fd = fd}};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &request) == 0;
}

}  // namespace

Result<std::shared_ptr<AsyncListener>> AsyncListener::create(std::shared_ptr<RdmaDevice> device) {
  std::shared_ptr<AsyncListener> listener(new AsyncListener(std::move(device)));
  listener->count_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE));
  listener->epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!listener->count_ || !listener->epoll_ ||
      !watch(listener->epoll_.get(), listener->count_.get()) ||
      !watch(listener->epoll_.get(), listener->device_->eventFd()))
    return systemError("IO", "epoll_create1", "cannot listen to the events of an RDMA device");
  AsyncListeners& all = listener->device_->listeners();
  const std::lock_guard lock(all.mutex_);
  all.listeners_.push_back(listener.get());
  return listener;
}

AsyncListener::~AsyncListener() {
  AsyncListeners& all = device_->listeners();
  const std::lock_guard lock(all.mutex_);
  std::erase(all.listeners_, this);
}

std::optional<AsyncEvent> AsyncListener::take() {
  AsyncListeners& all = device_->listeners();
  const std::lock_guard lock(all.mutex_);
  while (const auto event = device_->takeEvent())
    for (AsyncListener* listener : all.listeners_) listener->hear(*event);
  if (events_.empty()) {
    dropFailedDevice();
    return std::nullopt;
  }
  eventfd_t one = 0;
  (void)eventfd_read(count_.get(), &one);
  const AsyncEvent event = events_.front();
  events_.pop_front();
  return event;
}

void AsyncListener::hear(const AsyncEvent& event) {
  events_.push_back(event);
  if (events_.size() > kMaxEvents)
    events_.pop_front();  // it does not listen: the newest are of use
  else
    (void)eventfd_write(count_.get(), 1);
}

// The descriptor of a device that was taken away is ready for ever, and gives nothing.
void AsyncListener::dropFailedDevice() {
  epoll_event ready = {};
  const bool isReady = epoll_wait(epoll_.get(), &ready, 1, 0) == 1;
  if (isReady && ready.data.fd == device_->eventFd() && !(ready.events & EPOLLIN))
    (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, ready.data.fd, nullptr);
}

}  // namespace p2pmem::rdma
