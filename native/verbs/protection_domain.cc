#include "verbs/protection_domain.h"

#include <sys/resource.h>

#include <cerrno>

#include "verbs/memory_region.h"
#include "verbs/queue_pair.h"

namespace p2pmem {

using namespace rdma;

namespace {

bool isLockingLimited() {
  rlimit limit = {};
  return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

/// What the kernel (ib_umem_get() in drivers/infiniband/core/umem.c) means by an errno.
Error hostRefusal(int number, uint64_t length, const Memory& memory, const std::string& device) {
  const std::string what = "cannot register " + std::to_string(length) + " bytes of memory";
  const auto error = [&](const char* code, std::string hint = {}) {
    return verbsError(code, number, "ibv_reg_mr", what, device, std::move(hint));
  };
  if (number == EPERM || (number == ENOMEM && isLockingLimited()))
    return error("MEMLOCK",
                 "raise the limit of locked memory (ulimit -l), or run with CAP_IPC_LOCK");
  if (number == ENOMEM) return error("NO_MEMORY");
  // EFAULT and EINVAL were seen.
  if (memory.kind() == Memory::Kind::device)
    return error("NOT_REGISTERED",
                 "the kernel pins no BAR: export it as a dma-buf and register that, or stage in "
                 "host memory");
  if (number == EFAULT)
    return error("NOT_REGISTERED", "the kernel cannot pin this memory for long");
  return error("IO");
}

}  // namespace

Result<std::shared_ptr<ProtectionDomain>> VerbsProtectionDomain::create(
    std::shared_ptr<VerbsDevice> device) {
  ibv::pd* pd = device->verbs().alloc_pd(device->context());
  if (pd == nullptr) {
    const int number = errno;
    return verbsError(number == ENOMEM ? "RDMA_LIMIT" : "IO", number, "ibv_alloc_pd",
                      "cannot allocate a protection domain on " + device->name(), device->name());
  }
  return std::shared_ptr<ProtectionDomain>(new VerbsProtectionDomain(std::move(device), pd));
}

VerbsProtectionDomain::~VerbsProtectionDomain() { (void)device_->verbs().dealloc_pd(pd_); }

Status VerbsProtectionDomain::checkRegion(uint64_t length, uint32_t access) const {
  if (length == 0)
    return Error{.code = "BAD_RANGE",
                 .message = "a memory region has at least one byte",
                 .device = device_->name()};
  auto limits = device_->attributes();
  if (!limits.ok()) return limits.take();
  if (const uint64_t most = limits.value().maxRegionBytes; length > most)
    return Error{.code = "REGION_TOO_LARGE",
                 .message = "a memory region of " + device_->name() + " has up to " +
                            std::to_string(most) + " bytes, not " + std::to_string(length),
                 .device = device_->name(),
                 .hint = "register it in parts"};
  if ((access & kOnDemand) && !limits.value().onDemandPaging.supported)
    return Error{.code = "NO_ODP",
                 .message = device_->name() + " has no on-demand paging",
                 .device = device_->name(),
                 .hint = "register pinned memory"};
  return {};
}

Result<std::shared_ptr<MemoryRegion>> VerbsProtectionDomain::registerHost(
    std::shared_ptr<Memory> memory, uint64_t offset, uint64_t length, uint32_t access) {
  if (Status status = checkRegion(length, access); !status.ok()) return status.take();
  // The kernel would take it, and fail with the first transfer: hmm_range_fault() finds no pages.
  if ((access & kOnDemand) && memory->kind() == Memory::Kind::device)
    return Error{.code = "NOT_REGISTERED",
                 .message = "a device does not fault in the pages of a BAR",
                 .device = device_->name(),
                 .hint = "export it as a dma-buf and register that, or stage in host memory"};
  uint8_t* at = memory->data() + offset;
  const auto address = reinterpret_cast<uintptr_t>(at);
  const Ibverbs& verbs = device_->verbs();
  // Flags of the optional range may be ignored, and older libraries know none of them.
  ibv::mr* mr =
      (access & ibv::ACCESS_OPTIONAL_RANGE) && verbs.reg_mr_iova2 != nullptr
          ? verbs.reg_mr_iova2(pd_, at, length, address, access)
          : verbs.reg_mr(pd_, at, length, static_cast<int>(access & ~ibv::ACCESS_OPTIONAL_RANGE));
  if (mr == nullptr) return hostRefusal(errno, length, *memory, device_->name());
  return std::shared_ptr<MemoryRegion>(
      new VerbsMemoryRegion(shared_from_this(), mr, address, length, std::move(memory)));
}

Result<std::shared_ptr<MemoryRegion>> VerbsProtectionDomain::registerDmabuf(
    int fd, uint64_t offset, uint64_t length, uint64_t address, uint32_t access,
    std::shared_ptr<Memory> keep) {
  if (Status status = checkRegion(length, access); !status.ok()) return status.take();
  const Ibverbs& verbs = device_->verbs();
  const std::string& name = device_->name();
  ibv::mr* mr = nullptr;
  int number = ENOSYS;
  if (verbs.reg_dmabuf_mr != nullptr) {
    mr = verbs.reg_dmabuf_mr(pd_, offset, length, address, fd, static_cast<int>(access));
    number = errno;
  }
  if (mr != nullptr)
    return std::shared_ptr<MemoryRegion>(
        new VerbsMemoryRegion(shared_from_this(), mr, address, length, std::move(keep)));
  const auto error = [&](const char* code, std::string message, std::string hint) {
    return verbsError(code, number, "ibv_reg_dmabuf_mr", std::move(message), name, std::move(hint));
  };
  switch (number) {
    case EOPNOTSUPP:
    case ENOSYS:
    case EPROTONOSUPPORT:
      return error("NO_DMABUF", "the driver of " + name + " imports no dma-bufs",
                   "stage in host memory, or use a NIC whose driver does (mlx5, irdma, bnxt_re)");
    case EBADF:
    case EINVAL:
    case ENODEV:
    case EREMOTEIO:
      return error("BAD_DMABUF", name + " cannot register that dma-buf",
                   "is it a dma-buf, of a device that is on and that this NIC reaches, and does "
                   "the range lie inside it?");
    default:
      return error("IO", name + " cannot register that dma-buf", "");
  }
}

Result<std::shared_ptr<QueuePair>> VerbsProtectionDomain::createQueuePair(
    std::shared_ptr<CompletionQueue> sends, std::shared_ptr<CompletionQueue> receives,
    const QueuePairOptions& options) {
  auto sendQueue = std::dynamic_pointer_cast<VerbsCompletionQueue>(std::move(sends));
  auto receiveQueue = std::dynamic_pointer_cast<VerbsCompletionQueue>(std::move(receives));
  if (!sendQueue || !receiveQueue || &sendQueue->device() != device_.get() ||
      &receiveQueue->device() != device_.get())
    return Error{.code = "BAD_ARGUMENT",
                 .message = "the completion queues of a queue pair are those of its own device",
                 .device = device_->name()};
  return VerbsQueuePair::create(shared_from_this(), std::move(sendQueue), std::move(receiveQueue),
                                options);
}

}  // namespace p2pmem
