#include "loopback/rnic_context.h"

#include <sys/eventfd.h>

#include <utility>

#include "loopback/bar_memory.h"
#include "loopback/rnic.h"
#include "loopback/rnic_queue_pair.h"

namespace p2pmem::loopback {

namespace {

constexpr size_t kMaxEvents = 1024;

}  // namespace

Result<std::shared_ptr<RnicContext>> RnicContext::open(std::shared_ptr<Machine> machine,
                                                       Rnic& nic) {
  UniqueFd events(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE));
  if (!events) return systemError("IO", "eventfd", "cannot make a channel for events");
  const MachineLock::Guard guard(machine->lock());
  if (Status status = nic.open(); !status.ok()) return status.take();
  std::shared_ptr<RnicContext> context(new RnicContext(std::move(machine), nic, std::move(events)));
  nic.addContext(*context);
  return context;
}

RnicContext::RnicContext(std::shared_ptr<Machine> machine, Rnic& nic, UniqueFd eventFd)
    : RdmaDevice(nic.name()),
      machine_(std::move(machine)),
      nic_(nic),
      eventFd_(std::move(eventFd)) {}

RnicContext::~RnicContext() {
  const MachineLock::Guard guard(machine_->lock());
  nic_.removeContext(*this);
}

Status RnicContext::check() const {
  if (!isAbandoned_) return {};
  return Error{.code = "DEVICE_GONE",
               .message = name() + " has failed, or was removed",
               .device = nic_.address,
               .hint = "close what was opened of it, and open it again once it is back"};
}

Result<rdma::DeviceAttributes> RnicContext::attributes() const { return nic_.attributes(); }

Result<rdma::PortAttributes> RnicContext::port(uint8_t number) const {
  const MachineLock::Guard guard(machine_->lock());
  if (Status status = nic_.checkPort(number); !status.ok()) return status.take();
  return nic_.port(number);
}

Result<std::vector<rdma::GidEntry>> RnicContext::gids(uint8_t port) const {
  if (Status status = nic_.checkPort(port); !status.ok()) return status.take();
  return nic_.gids(port);
}

Result<std::shared_ptr<rdma::ProtectionDomain>> RnicContext::allocateDomain() {
  const MachineLock::Guard guard(machine_->lock());
  if (Status status = check(); !status.ok()) return status.take();
  return std::shared_ptr<rdma::ProtectionDomain>(
      std::make_shared<RnicDomain>(shared_from_this(), nic_.nextDomain()));
}

Result<std::shared_ptr<rdma::CompletionQueue>> RnicContext::createCompletionQueue(uint32_t entries,
                                                                                  bool channel) {
  if (entries == 0 || entries > kMaxEntries || completionQueues >= kMaxCompletionQueues)
    return Error{.code = "RDMA_LIMIT",
                 .message = "a completion queue has 1 to " + std::to_string(kMaxEntries) +
                            " entries, and there are " + std::to_string(kMaxCompletionQueues),
                 .device = nic_.address};
  auto queue = RnicCompletionQueue::create(shared_from_this(), entries, channel);
  if (!queue.ok()) return queue.take();
  return std::shared_ptr<rdma::CompletionQueue>(std::move(queue.value()));
}

Result<std::shared_ptr<Memory>> RnicContext::allocateMemory(uint64_t length) {
  const MachineLock::Guard guard(machine_->lock());
  if (Status status = check(); !status.ok()) return status.take();
  const Bar& bar = nic_.bars[Rnic::kMemoryBar];
  const auto store = nic_.store();
  const auto offset = store->take(length);
  if (!offset)
    return Error{.code = "NO_ROOM",
                 .message = name() + " has no " + std::to_string(length) +
                            " bytes of its memory left, in whole pages",
                 .device = nic_.address};
  auto mapped = BarMemory::map(machine_, nic_, bar, *offset, length);
  if (!mapped.ok()) {
    store->giveBack(*offset);
    return mapped.take();
  }
  Memory* memory = mapped.value().get();
  // Given back once nobody has it any more, in whichever thread that is.
  return std::shared_ptr<Memory>(
      memory, [hold = std::move(mapped.value()), store, at = *offset](Memory*) mutable {
        hold.reset();
        store->giveBack(at);
      });
}

void RnicContext::report(const rdma::AsyncEvent& event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(event);
  if (events_.size() > kMaxEvents) {
    events_.pop_front();  // nobody listens: the newest are of use
    return;
  }
  (void)eventfd_write(eventFd_.get(), 1);
}

std::optional<rdma::AsyncEvent> RnicContext::takeEvent() {
  const std::lock_guard lock(mutex_);
  if (events_.empty()) return std::nullopt;
  eventfd_t one = 0;
  (void)eventfd_read(eventFd_.get(), &one);
  const rdma::AsyncEvent event = events_.front();
  events_.pop_front();
  return event;
}

Result<std::shared_ptr<rdma::MemoryRegion>> RnicDomain::registerHost(std::shared_ptr<Memory> memory,
                                                                     uint64_t offset,
                                                                     uint64_t length,
                                                                     uint32_t access) {
  const MachineLock::Guard guard(context_->machine().lock());
  if (Status status = context_->check(); !status.ok()) return status.take();
  auto region =
      context_->nic().memory().addMemory(number_, std::move(memory), offset, length, access);
  if (!region.ok()) return region.take();
  return std::shared_ptr<rdma::MemoryRegion>(
      std::make_shared<RnicRegionHold>(shared_from_this(), *region.value()));
}

Result<std::shared_ptr<rdma::MemoryRegion>> RnicDomain::registerDmabuf(
    int fd, uint64_t offset, uint64_t length, uint64_t address, uint32_t access,
    std::shared_ptr<Memory> keep) {
  auto dmabuf = findDmabuf(fd);
  if (!dmabuf || !dmabuf->isOf(context_->machine()))
    return Error{.code = "BAD_DMABUF",
                 .message = dmabuf ? "the dma-buf is of another machine's device"
                                   : "the descriptor is no dma-buf",
                 .device = context_->nic().address,
                 .hint = "exportDmabuf() of a device of this machine gives one"};
  const MachineLock::Guard guard(context_->machine().lock());
  if (Status status = context_->check(); !status.ok()) return status.take();
  auto region = context_->nic().memory().addDmabuf(number_, std::move(dmabuf), offset, length,
                                                   address, access, std::move(keep));
  if (!region.ok()) return region.take();
  return std::shared_ptr<rdma::MemoryRegion>(
      std::make_shared<RnicRegionHold>(shared_from_this(), *region.value()));
}

Result<std::shared_ptr<rdma::QueuePair>> RnicDomain::createQueuePair(
    std::shared_ptr<rdma::CompletionQueue> sends, std::shared_ptr<rdma::CompletionQueue> receives,
    const rdma::QueuePairOptions& options) {
  Rnic& nic = context_->nic();
  auto sendQueue = std::dynamic_pointer_cast<RnicCompletionQueue>(sends);
  auto receiveQueue = std::dynamic_pointer_cast<RnicCompletionQueue>(receives);
  if (!sendQueue || !receiveQueue || &sendQueue->context() != context_.get() ||
      &receiveQueue->context() != context_.get())
    return Error{.code = "BAD_ARGUMENT",
                 .message = "the completion queues of a queue pair are those of its own device",
                 .device = nic.address};
  const bool fits = options.sends <= RnicContext::kMaxEntries &&
                    options.receives <= RnicContext::kMaxEntries && options.sendSge > 0 &&
                    options.sendSge <= RnicGather::kMaxPieces && options.receiveSge > 0 &&
                    options.receiveSge <= RnicGather::kMaxPieces &&
                    options.inlineBytes <= RnicQueuePair::kMaxInline;
  if (!fits)
    return Error{.code = "RDMA_LIMIT",
                 .message = "a queue pair has up to " + std::to_string(RnicContext::kMaxEntries) +
                            " entries, 1 to 16 gather entries, and up to " +
                            std::to_string(RnicQueuePair::kMaxInline) + " inline bytes",
                 .device = nic.address};
  auto queuePair =
      std::make_shared<RnicQueuePair>(shared_from_this(), sendQueue, receiveQueue, options);
  const MachineLock::Guard guard(context_->machine().lock());
  if (Status status = context_->check(); !status.ok()) return status.take();
  if (Status status = nic.addQueuePair(*queuePair); !status.ok()) return status.take();
  context_->machine().wake();  // from now on there is something to poll
  sendQueue->users++;
  receiveQueue->users++;
  return std::shared_ptr<rdma::QueuePair>(std::move(queuePair));
}

Status RnicRegionHold::deregister() {
  std::unique_ptr<RnicRegion> removed;  // lets go of its memory without the lock
  const MachineLock::Guard guard(domain_->context().machine().lock());
  // Once: the key may mean another region by now.
  if (std::exchange(isDeregistered_, true)) return {};
  removed = domain_->context().nic().memory().remove(key_);
  return {};
}

}  // namespace p2pmem::loopback
