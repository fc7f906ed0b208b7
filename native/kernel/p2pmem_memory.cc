#include "kernel/p2pmem_memory.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>

#include "core/unique_fd.h"

namespace p2pmem {

namespace {

Error refusal(const char* syscall, const std::string& message, const std::string& address) {
  const int number = errno;
  const char* code = number == ENOMEM                      ? "NO_ROOM"
                     : number == EACCES || number == EPERM ? "PERMISSION"
                                                           : "KERNEL_P2PMEM";
  errno = number;
  Error error = systemError(code, syscall, message);
  error.device = address;
  if (number == ENOMEM)
    error.hint = "see p2pmem/available of the device in sysfs; fewer or smaller blocks need less";
  if (number == EACCES || number == EPERM) error.hint = "run it as root";
  return error;
}

}  // namespace

Result<std::shared_ptr<KernelP2pMemory>> KernelP2pMemory::allocate(const std::string& address,
                                                                   size_t size) {
  const std::string path = "/sys/bus/pci/devices/" + address + "/p2pmem/allocate";
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return refusal("open", "cannot open " + path, address);
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED)
    return refusal(
        "mmap",
        "the kernel does not give " + std::to_string(size) + " bytes of the p2pmem of " + address,
        address);
  std::shared_ptr<KernelP2pMemory> memory(new KernelP2pMemory(data, size, address));
  auto range = VanishingRange::watch(data, size);
  if (!range.ok()) return range.take();
  memory->range_ = std::move(range.value());
  return memory;
}

KernelP2pMemory::~KernelP2pMemory() {
  range_.reset();  // before the addresses are another mapping's
  munmap(data(), size());
}

}  // namespace p2pmem
