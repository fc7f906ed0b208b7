#include "core/bus_error.h"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <vector>

#include "core/unique_fd.h"

namespace p2pmem {

namespace {

// What one fault covers. Each piece is a mapping of its own, and a process has 65530 of them
// (vm.max_map_count): enough for 128 GiB of BARs.
constexpr size_t kPiece = size_t{2} << 20;
constexpr uint64_t kGone = 1;
constexpr uint64_t kOneLoss = 2;

/// A file of kPiece bytes, all of them ones.
Result<UniqueFd> makeOnes() {
  UniqueFd fd(memfd_create("p2pmem-ones", MFD_CLOEXEC));
  if (!fd) return systemError("IO", "memfd_create", "cannot create a file in memory");
  const std::vector<uint8_t> block(size_t{64} << 10, 0xff);
  for (size_t at = 0; at < kPiece; at += block.size())
    if (write(fd.get(), block.data(), block.size()) != static_cast<ssize_t>(block.size()))
      return systemError("NO_MEMORY", "write", "cannot fill a file in memory");
  return fd;
}

}  // namespace

Status mapOver(void* data, size_t size, int fd, off_t offset) {
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  // Elsewhere first: where the kernel refuses, MAP_FIXED could leave a hole for strangers to fill.
  void* trial = mmap(nullptr, size, kProtection, MAP_SHARED, fd, offset);
  if (trial != MAP_FAILED) {
    munmap(trial, size);
    if (mmap(data, size, kProtection, MAP_SHARED | MAP_FIXED, fd, offset) != MAP_FAILED) return {};
  }
  return systemError("IO", "mmap", "cannot map the device's memory again");
}

// Everything here is the process's, not an environment's: a signal has one handler. Constant
// initialisation, and no destructor that could run while another thread still faults.
struct VanishingRange::List {
  static Status install();
  static void insert(VanishingRange& range);
  static void remove(VanishingRange& range);
  /// Returns when every handler that is at work by now has finished.
  static void waitForHandlers();

  static void onBusError(int signal, siginfo_t* info, void* context);
  static bool handle(const uint8_t* address);
  static void passOn(int signal, siginfo_t* info, void* context);

  static inline constinit std::mutex changes;  // never taken by the handler
  static inline constinit std::atomic<VanishingRange*> first{nullptr};
  static inline constinit std::atomic<uint32_t> handlersAtWork{0};
  static inline constinit int ones = -1;  // set before the handler is installed
  static inline constinit struct sigaction previous = {};
};

Status VanishingRange::List::install() {
  const std::lock_guard lock(changes);
  if (ones >= 0) return {};
  auto file = makeOnes();
  if (!file.ok()) return file.take();
  struct sigaction action = {};
  action.sa_sigaction = onBusError;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  // Read first: the handler may run before the call that installs it has returned.
  sigaction(SIGBUS, nullptr, &previous);
  ones = file.value().release();
  sigaction(SIGBUS, &action, nullptr);
  return {};
}

void VanishingRange::List::insert(VanishingRange& range) {
  const std::lock_guard lock(changes);
  range.next_ = first.load();
  first = &range;
}

void VanishingRange::List::remove(VanishingRange& range) {
  const std::lock_guard lock(changes);
  std::atomic<VanishingRange*>* link = &first;
  while (link->load() != &range) link = &link->load()->next_;
  *link = range.next_.load();
  // A handler that stands on this range goes on from it to the next.
  waitForHandlers();
}

// All atomics are sequentially consistent: a handler counts itself, then reads the list; whoever
// waits here has changed the list, then reads the count. One of the two sees the other.
void VanishingRange::List::waitForHandlers() {
  while (handlersAtWork != 0) sched_yield();
}

// Async-signal-safe (signal-safety(7)) with one addition: mmap(), which glibc makes a bare system
// call and which takes no lock of the process.
void VanishingRange::List::onBusError(int signal, siginfo_t* info, void* context) {
  const int number = errno;
  // Only then is si_addr an address: kill(2) sends none, and a memory error is nobody's absence.
  const bool isFault = info->si_code == BUS_ADRERR;
  if (!isFault || !handle(static_cast<const uint8_t*>(info->si_addr)))
    passOn(signal, info, context);
  errno = number;
}

bool VanishingRange::List::handle(const uint8_t* address) {
  handlersAtWork++;
  VanishingRange* range = first;
  while (range && !range->contains(address)) range = range->next_;
  const bool covered = range && range->coverWithOnes(address);
  handlersAtWork--;
  return covered;
}

void VanishingRange::List::passOn(int signal, siginfo_t* info, void* context) {
  if (previous.sa_flags & SA_SIGINFO) return previous.sa_sigaction(signal, info, context);
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
    return previous.sa_handler(signal);
  const bool isSent = info->si_code <= 0 || info->si_code == BUS_MCEERR_AO;
  if (isSent && previous.sa_handler == SIG_IGN) return;
  // An access faults again on return, and ends the process with its own cause in the core dump.
  struct sigaction fatal = {};
  fatal.sa_handler = SIG_DFL;
  sigaction(signal, &fatal, nullptr);
  if (isSent) raise(signal);
}

Result<std::unique_ptr<VanishingRange>> VanishingRange::watch(void* data, size_t size) {
  if (Status status = List::install(); !status.ok()) return status.take();
  std::unique_ptr<VanishingRange> range(new VanishingRange(data, size));
  List::insert(*range);
  return range;
}

VanishingRange::~VanishingRange() { List::remove(*this); }

bool VanishingRange::coverWithOnes(const uint8_t* address) {
  // Before the ones can be seen: whoever has read them finds that losses() has changed.
  losses_ += kOneLoss;
  losses_ |= kGone;
  const size_t offset = static_cast<size_t>(address - data_) / kPiece * kPiece;
  // Private: what is written there is nobody's. Several threads may do this at once.
  return mmap(data_ + offset, std::min(kPiece, size_ - offset), PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, List::ones, 0) != MAP_FAILED;
}

Status VanishingRange::restore(int fd, off_t offset) {
  uint64_t seen = losses_;
  if (!(seen & kGone)) return {};
  // Those counted in `seen` have put their ones there before the device's pages replace them. One
  // that comes later changes the count, and the range stays gone.
  List::waitForHandlers();
  if (Status status = mapOver(data_, size_, fd, offset); !status.ok()) return status;
  if (!losses_.compare_exchange_strong(seen, seen & ~kGone))
    return Error{.code = "DEVICE_GONE", .message = "the device's memory vanished again"};
  return {};
}

}  // namespace p2pmem
