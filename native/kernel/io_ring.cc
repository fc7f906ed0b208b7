#include "kernel/io_ring.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>

namespace p2pmem {

namespace {

int setup(uint32_t entries, io_uring_params& parameters, uint32_t flags) {
  parameters = {};
  parameters.flags = flags;
  return static_cast<int>(syscall(SYS_io_uring_setup, entries, &parameters));
}

long registerWith(int fd, uint32_t opcode, const void* argument, size_t count) {
  return syscall(SYS_io_uring_register, fd, opcode, argument, static_cast<uint32_t>(count));
}

Error refusal() {
  const int number = errno;
  const bool noMemory = number == ENOMEM;
  Error error = systemError(noMemory ? "MEMLOCK" : "NO_IO_URING", "io_uring_setup",
                            "the kernel gives no io_uring");
  if (noMemory)
    error.hint = "raise the limit of locked memory: ulimit -l";
  else if (number == ENOSYS)
    error.hint = "the kernel has it from Linux 5.11 on, with CONFIG_IO_URING";
  else if (number == EPERM || number == EACCES)
    error.hint =
        "see sysctl kernel.io_uring_disabled; in a container, its seccomp profile may refuse it";
  return error;
}

Error closed() { return Error{.code = "CLOSED", .message = "the io_uring is closed already"}; }

}  // namespace

Result<std::shared_ptr<IoRing>> IoRing::create(uint32_t entries) {
  io_uring_params parameters;
  // Completions come only when the one thread asks for them: no interrupts of its own work.
  UniqueFd fd(setup(entries, parameters, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN));
  if (!fd && errno == EINVAL) fd.reset(setup(entries, parameters, 0));  // before Linux 6.1
  if (!fd) return refusal();
  // One mapping for both rings (5.4), a wait with a time limit (5.11).
  constexpr uint32_t kNeeded = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_EXT_ARG;
  if ((parameters.features & kNeeded) != kNeeded)
    return Error{.code = "NO_IO_URING",
                 .message = "this kernel's io_uring cannot wait with a time limit",
                 .hint = "Linux 5.11 or later can"};
  std::shared_ptr<IoRing> ring(new IoRing(std::move(fd), parameters));
  const size_t size =
      std::max<size_t>(parameters.sq_off.array + parameters.sq_entries * sizeof(uint32_t),
                       parameters.cq_off.cqes + parameters.cq_entries * sizeof(io_uring_cqe));
  auto rings = ring->map(IORING_OFF_SQ_RING, size);
  if (!rings.ok()) return rings.take();
  ring->rings_ = std::move(rings.value());
  auto sqes = ring->map(IORING_OFF_SQES, parameters.sq_entries * sizeof(io_uring_sqe));
  if (!sqes.ok()) return sqes.take();
  ring->entries_ = std::move(sqes.value());
  return ring;
}

IoRing::~IoRing() { close(); }

Result<std::shared_ptr<Memory>> IoRing::map(uint64_t offset, size_t size) {
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(),
                    static_cast<off_t>(offset));
  if (data == MAP_FAILED) return systemError("NO_MEMORY", "mmap", "cannot map an io_uring");
  return std::shared_ptr<Memory>(std::make_shared<MappedMemory>(Memory::Kind::host, data, size));
}

Status IoRing::registerFiles(const std::vector<int>& files) {
  if (!fd_) return closed();
  if (registerWith(fd_.get(), IORING_REGISTER_FILES, files.data(), files.size()) != 0)
    return systemError("IO", "io_uring_register(FILES)", "cannot register files with an io_uring");
  return {};
}

Status IoRing::registerBuffers(const std::vector<void*>& buffers, size_t length) {
  if (!fd_) return closed();
  std::vector<iovec> pieces;
  pieces.reserve(buffers.size());
  for (void* buffer : buffers) pieces.push_back({.iov_base = buffer, .iov_len = length});
  if (registerWith(fd_.get(), IORING_REGISTER_BUFFERS, pieces.data(), pieces.size()) != 0)
    return systemError("NOT_REGISTERED", "io_uring_register(BUFFERS)",
                       "cannot register buffers with an io_uring");
  return {};
}

int64_t IoRing::enter(uint32_t submit, uint32_t complete, int64_t timeoutNs) {
  if (!fd_) return -EBADF;
  constexpr int64_t kSecond = 1'000'000'000;
  __kernel_timespec time = {.tv_sec = timeoutNs / kSecond, .tv_nsec = timeoutNs % kSecond};
  io_uring_getevents_arg argument = {};
  uint32_t flags = IORING_ENTER_GETEVENTS;
  if (timeoutNs >= 0) {
    flags |= IORING_ENTER_EXT_ARG;
    argument.ts = reinterpret_cast<uint64_t>(&time);
  }
  const bool isLimited = timeoutNs >= 0;
  const long result = syscall(SYS_io_uring_enter, fd_.get(), submit, complete, flags,
                              isLimited ? &argument : nullptr, isLimited ? sizeof argument : 0);
  if (result >= 0) {
    submitted_ += static_cast<uint32_t>(result);
    return result;
  }
  // EAGAIN, EBUSY: the kernel is short of memory, or of room for completions, for the moment.
  const bool isPassing = errno == ETIME || errno == EINTR || errno == EAGAIN || errno == EBUSY;
  return isPassing ? 0 : -errno;
}

uint32_t IoRing::inFlight() const {
  auto* tail = reinterpret_cast<uint32_t*>(rings_->data() + parameters_.cq_off.tail);
  return submitted_ - std::atomic_ref(*tail).load(std::memory_order_acquire);
}

void IoRing::close() {
  if (!fd_) return;
  // The kernel ends each request, its drivers have time limits. Its own pins would keep the pages;
  // who maps or frees the memory next must not meet a device that still writes.
  while (rings_ && entries_ && inFlight() > 0)
    if (enter(0, inFlight(), 100'000'000) < 0) {
      // Nobody can be asked any more when it is over: better the memory is never freed.
      static_cast<void>(
          std::make_unique<std::vector<std::shared_ptr<Memory>>>(std::move(held_)).release());
      break;
    }
  // Not with the descriptor: what that lets go of, the kernel does later, and files stay in use.
  registerWith(fd_.get(), IORING_UNREGISTER_BUFFERS, nullptr, 0);
  registerWith(fd_.get(), IORING_UNREGISTER_FILES, nullptr, 0);
  fd_.reset();
  held_.clear();
}

}  // namespace p2pmem
