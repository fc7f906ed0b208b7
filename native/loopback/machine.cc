#include "loopback/machine.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>

#include "loopback/dmabuf.h"
#include "loopback/loopback_address_space.h"
#include "loopback/memory_card.h"
#include "loopback/rnic_context.h"

namespace p2pmem::loopback {

namespace {

// Ids that Linux knows: Sky Lake-E (on p2pdma's list of host bridges that forward between their
// root ports), and a PCIe 4.0 switch.
// Of a root complex that linux/drivers/pci/p2pdma.c knows to forward, and of one that it does not.
constexpr PciIdentity kHostBridge{0x8086, 0x2020, pci::kClassHostBridge};
constexpr PciIdentity kPlainHostBridge{0x8086, 0x29c0, pci::kClassHostBridge};
constexpr PciIdentity kRootPort{0x8086, 0x2030, pci::kClassPciBridge};
constexpr PciIdentity kSwitchPort{0x1000, 0xc010, pci::kClassPciBridge};

// The device thread polls while work was seen lately and sleeps ever longer after that, since
// doorbells are memory and wake nobody: for one 25th of the time that it has been idle. A wake-up
// costs 30 us of CPU in a virtual machine, so that the longest sleep keeps an idle machine below 1
// % of a core.
constexpr std::chrono::microseconds kPollFor{50};
constexpr int kSleepFraction = 25;
constexpr std::chrono::microseconds kShortestSleep{10};
constexpr std::chrono::microseconds kLongestSleep{5000};

constexpr const char* kVfioDriver = "vfio-pci";

}  // namespace

Result<std::shared_ptr<Machine>> Machine::create(const MachineConfiguration& configuration) {
  std::shared_ptr<Machine> machine(new Machine());
  machine->iovaBits_ = configuration.iovaBits;
  const PciIdentity bridge =
      configuration.forwarding == Forwarding::all ? kHostBridge : kPlainHostBridge;
  machine->fabric_.add(std::make_unique<PciFunction>(FunctionKind::hostBridge, bridge), nullptr);
  for (const PortConfiguration& port : configuration.rootPorts)
    if (Status status = machine->plug(port, FunctionKind::rootPort, nullptr); !status.ok())
      return status.take();
  if (Status status = machine->fabric_.enumerate(); !status.ok()) return status.take();
  machine->router_.start(configuration.forwarding);
  for (Rnic* rnic : machine->rnics_) rnic->probe();
  machine->thread_ = std::thread([&self = *machine] { self.run(); });
  return machine;
}

Machine::~Machine() {
  stop();
  forgetClosedDmabufs();
}

Status Machine::plug(const PortConfiguration& port, FunctionKind kind, PciFunction* above) {
  auto function =
      std::make_unique<PciFunction>(kind, kind == FunctionKind::rootPort ? kRootPort : kSwitchPort);
  function->enableAcs(port.acs);
  PciFunction* added = function.get();
  fabric_.add(std::move(function), above);
  const size_t before = endpoints_.size();
  Status status =
      std::visit([&](const auto& device) { return plugInto(added, device); }, port.device);
  const bool isEndpoint = !std::holds_alternative<SwitchConfiguration>(port.device);
  if (status.ok() && isEndpoint) endpoints_[before]->driver = port.driver;
  return status;
}

Status Machine::plugInto(PciFunction* port, const SwitchConfiguration& configuration) {
  auto upstream = std::make_unique<PciFunction>(FunctionKind::upstreamPort, kSwitchPort);
  PciFunction* added = upstream.get();
  fabric_.add(std::move(upstream), port);
  for (const PortConfiguration& below : configuration.ports)
    if (Status status = plug(below, FunctionKind::downstreamPort, added); !status.ok())
      return status;
  return {};
}

Status Machine::plugInto(PciFunction* port, const NvmeConfiguration& configuration) {
  auto controller = NvmeController::create(configuration, controllers_++, {lock_, router_, epoch_});
  if (!controller.ok()) return controller.take();
  endpoints_.push_back(controller.value().get());
  fabric_.add(std::move(controller.value()), port);
  return {};
}

Status Machine::plugInto(PciFunction* port, const CardConfiguration& configuration) {
  auto card = std::make_unique<MemoryCard>(configuration);
  endpoints_.push_back(card.get());
  fabric_.add(std::move(card), port);
  return {};
}

Status Machine::plugInto(PciFunction* port, const RnicConfiguration& configuration) {
  auto rnic = std::make_unique<Rnic>(configuration, static_cast<uint32_t>(rnics_.size()), iovaBits_,
                                     MachineContext{lock_, router_, epoch_});
  for (const Fault& fault : configuration.faults)
    if (Status status = rnic->addFault(fault); !status.ok()) return status;
  if (Status status = rnic->openWire(); !status.ok()) return status;
  endpoints_.push_back(rnic.get());
  rnics_.push_back(rnic.get());
  fabric_.add(std::move(rnic), port);
  return {};
}

std::shared_ptr<AddressSpace> Machine::openAddressSpace() {
  return std::make_shared<LoopbackAddressSpace>(shared_from_this());
}

Status Machine::checkOwnership(const Endpoint& endpoint, const IommuDomain& domain) const {
  const std::string& address = endpoint.address;
  if (endpoint.driver != kVfioDriver) {
    const bool bound = !endpoint.driver.empty();
    return Error{.code = "NOT_BOUND",
                 .message = address + " is bound to " + (bound ? endpoint.driver : "no driver") +
                            ", not to vfio-pci",
                 .device = address,
                 .hint = "give it the driver vfio-pci in the machine file"};
  }
  if (endpoint.owner != 0)
    return Error{.code = "IN_USE", .message = address + " is open already", .device = address};
  const std::string group = "IOMMU group " + std::to_string(endpoint.iommuGroup);
  for (const Endpoint* other : endpoints_) {
    if (other->iommuGroup != endpoint.iommuGroup) continue;
    if (!other->driver.empty() && other->driver != kVfioDriver)
      return Error{.code = "GROUP_NOT_VIABLE",
                   .message = group + " is shared with " + other->address + " (driver " +
                              other->driver + "), which VFIO does not own",
                   .device = address,
                   .hint = "give every device of the group the driver vfio-pci, or none"};
    if (other->domain && other->domain.get() != &domain)
      return Error{.code = "IN_USE",
                   .message = group + " is in another address space, with " + other->address,
                   .device = address,
                   .hint = "open all devices of a group in one address space"};
  }
  return {};
}

Result<uint64_t> Machine::claim(Endpoint& endpoint, const std::shared_ptr<IommuDomain>& domain) {
  if (Status status = checkOwnership(endpoint, *domain); !status.ok()) return status.take();
  if (Status status = endpoint.prepare(); !status.ok()) return status.take();
  (void)endpoint.tryReset();
  endpoint.domain = domain;
  endpoint.owner = ++owners_;
  invalidate();
  return endpoint.owner;
}

void Machine::release(Endpoint& endpoint) {
  for (uint32_t vector = 0; vector < endpoint.msixVectors(); vector++)
    endpoint.setInterrupt(vector, UniqueFd());
  for (const DeviceEvent event : {DeviceEvent::error, DeviceEvent::request})
    endpoint.setEvent(event, UniqueFd());
  for (Bar& bar : endpoint.bars) bar.lost = false;
  endpoint.revokeExports();
  (void)endpoint.tryReset();
  endpoint.domain.reset();
  endpoint.owner = 0;
  invalidate();
}

Result<Endpoint*> Machine::findEndpoint(const std::string& address, bool isRemoved) const {
  for (Endpoint* endpoint : endpoints_)
    if (endpoint->address == address && endpoint->removed == isRemoved) return endpoint;
  return Error{.code = "UNKNOWN_DEVICE",
               .message = "there is no device " + address + " in the machine",
               .device = address,
               .hint = "p2pmem list shows the devices"};
}

Status Machine::inject(const std::string& address, const Fault& fault) {
  const MachineLock::Guard guard(lock_);
  auto endpoint = findEndpoint(address);
  if (!endpoint.ok()) return endpoint.take();
  if (Status status = endpoint.value()->inject(fault); !status.ok()) return status;
  invalidate();
  wake();
  return {};
}

Status Machine::clearFaults(const std::string& address) {
  const MachineLock::Guard guard(lock_);
  auto endpoint = findEndpoint(address);
  if (!endpoint.ok()) return endpoint.take();
  endpoint.value()->clearFaults();
  return {};
}

void Machine::wake() {
  woken_ = true;
  wake_.notify_one();
}

Status Machine::replug(const std::string& address) {
  const MachineLock::Guard guard(lock_);
  auto endpoint = findEndpoint(address, true);
  if (!endpoint.ok()) return endpoint.take();
  // The kernel waits for the same before it lets go of the device that was there.
  if (endpoint.value()->owner != 0)
    return Error{.code = "IN_USE",
                 .message = "the device that was at " + address + " is still open",
                 .device = address};
  endpoint.value()->replug();
  invalidate();
  return {};
}

std::vector<Machine::RdmaDeviceName> Machine::rdmaDevices() {
  const MachineLock::Guard guard(lock_);
  std::vector<RdmaDeviceName> list;
  for (const Rnic* rnic : rnics_)
    if (rnic->hasKernelDriver() && !rnic->removed) list.push_back({rnic->name(), rnic->address});
  return list;
}

Result<Rnic*> Machine::findRnic(const std::string& name) const {
  for (Rnic* rnic : rnics_)
    if (rnic->name() == name && rnic->hasKernelDriver()) return rnic;
  return Error{.code = "UNKNOWN_DEVICE",
               .message = "there is no RDMA device " + name + " in the machine"};
}

Result<std::shared_ptr<rdma::RdmaDevice>> Machine::openRdmaDevice(const std::string& name) {
  auto rnic = findRnic(name);
  if (!rnic.ok()) return rnic.take();
  auto context = RnicContext::open(shared_from_this(), *rnic.value());
  if (!context.ok()) return context.take();
  return std::shared_ptr<rdma::RdmaDevice>(std::move(context.value()));
}

Result<RnicCounters> Machine::rdmaCounters(const std::string& name) {
  auto rnic = findRnic(name);
  if (!rnic.ok()) return rnic.take();
  const MachineLock::Guard guard(lock_);
  return rnic.value()->counters();
}

void Machine::invalidateStart(const Memory& memory, uint64_t offset, uint64_t length) {
  const MachineLock::Guard guard(lock_);
  for (Rnic* rnic : rnics_) rnic->memory().invalidateStart(memory, offset, length);
}

Status Machine::invalidateEnd(const Memory& memory, uint64_t offset, uint64_t length) {
  const MachineLock::Guard guard(lock_);
  bool known = rnics_.empty();
  for (Rnic* rnic : rnics_) known |= rnic->memory().invalidateEnd(memory, offset, length);
  wake();
  if (known) return {};
  return Error{.code = "BAD_RANGE", .message = "no invalidation of that range has begun"};
}

Traffic Machine::traffic() {
  const MachineLock::Guard guard(lock_);
  return router_.traffic();
}

void Machine::resetTraffic() {
  const MachineLock::Guard guard(lock_);
  router_.reset();
}

uint64_t Machine::deviceCpuNs() {
  clockid_t clock = 0;
  timespec time = {};
  if (pthread_getcpuclockid(thread_.native_handle(), &clock) == 0) clock_gettime(clock, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

void Machine::stop() {
  {
    const MachineLock::Guard guard(lock_);
    stopping_ = true;
    wake();
  }
  if (thread_.joinable()) thread_.join();
}

void Machine::run() {
  using Clock = std::chrono::steady_clock;
  pthread_setname_np(pthread_self(), "p2pmem-devices");
  prctl(PR_SET_TIMERSLACK, 1000);  // nanoseconds; the default would stretch each sleep by 50 us
  Clock::time_point lastWork = Clock::now();
  bool worked = false;
  std::unique_lock lock(lock_.mutex());
  while (!stopping_) {
    bool works = false;
    for (Endpoint* endpoint : endpoints_)
      if (endpoint->isActive()) works |= endpoint->poll();
    if (lock_.contended()) {
      // Whoever waits gets the lock now: a mutex alone would let this thread in first.
      lock.unlock();
      while (lock_.contended()) sched_yield();
      lock.lock();
    }
    if (works) {
      worked = true;
      continue;
    }
    // The clock is read only in rounds without work.
    const Clock::time_point now = Clock::now();
    if (worked || woken_) lastWork = now;
    worked = woken_ = false;
    rest(lock, now - lastWork);
  }
}

void Machine::rest(std::unique_lock<std::mutex>& lock, std::chrono::nanoseconds idleFor) {
  const auto called = [this] { return stopping_ || woken_; };
  if (std::none_of(endpoints_.begin(), endpoints_.end(),
                   [](const Endpoint* endpoint) { return endpoint->isActive(); })) {
    wake_.wait(lock, called);
    return;
  }
  if (idleFor < kPollFor) {
    const bool yields = std::any_of(
        endpoints_.begin(), endpoints_.end(),
        [](const Endpoint* endpoint) { return endpoint->isActive() && endpoint->driverYields(); });
    lock.unlock();
    // On a busy machine sched_yield() gives the core away for milliseconds.
    if (yields)
      sched_yield();
    else
      __builtin_ia32_pause();
    lock.lock();
    return;
  }
  for (Endpoint* endpoint : endpoints_)
    if (endpoint->isActive()) endpoint->idle();
  const auto sleep =
      std::clamp<std::chrono::nanoseconds>(idleFor / kSleepFraction, kShortestSleep, kLongestSleep);
  wake_.wait_for(lock, sleep, called);
}

}  // namespace p2pmem::loopback
