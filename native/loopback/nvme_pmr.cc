#include "loopback/nvme_pmr.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/unique_fd.h"

namespace p2pmem::loopback {

namespace {

constexpr uint32_t kReadyTimeout = 10;  // PMRCAP.PMRTO, in half seconds

// A file as memory, made as large as is asked.
Result<std::shared_ptr<MappedMemory>> mapFile(const std::string& path, uint64_t size) {
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!fd) return systemError("IO", "open", "cannot open " + path);
  struct stat facts = {};
  if (fstat(fd.get(), &facts) != 0) return systemError("IO", "fstat", "cannot examine " + path);
  // An access past the end of a file is SIGBUS.
  if (static_cast<uint64_t>(facts.st_size) < size &&
      ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return systemError("IO", "ftruncate", "cannot enlarge " + path);
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) return systemError("IO", "mmap", "cannot map " + path);
  return std::make_shared<MappedMemory>(Memory::Kind::host, data, size);
}

}  // namespace

NvmePmr::NvmePmr(const PmrConfiguration& configuration, Endpoint& endpoint, uint64_t& epoch)
    : configuration_(configuration), endpoint_(endpoint), epoch_(epoch) {
  if (exists())
    endpoint.bars[kBar] = {
        .size = configuration.size, .prefetchable = true, .memorySize = configuration.size};
}

Status NvmePmr::openFile() {
  Bar& bar = endpoint_.bars[kBar];
  if (configuration_.file.empty()) return {};
  auto memory = mapFile(configuration_.file, configuration_.size);
  if (!memory.ok()) return memory.take();
  bar.memory = std::move(memory.value());
  return {};
}

void NvmePmr::reset() {
  control_ = 0;
  memorySpace_ = 0;
  isReady_ = false;
  apply();
}

void NvmePmr::apply() {
  const uint64_t base = memorySpace_ & nvme::kPmrmscCba;
  const uint64_t size = configuration_.size;
  const bool enable = exists() && (memorySpace_ & nvme::kPmrmscCmse);
  isRefused_ = enable && base + size < base;
  InternalRange& range = endpoint_.internal[Endpoint::kInternalPmr];
  range = {};
  if (enable && !isRefused_ && isReady_) range = {base, size, endpoint_.bars[kBar].memory->data()};
  epoch_++;
}

uint32_t NvmePmr::read(uint64_t offset) const {
  if (!exists()) return 0;
  switch (offset) {
    case nvme::kPmrcap:
      return nvme::kPmrcapRds | nvme::kPmrcapWds | kBar << nvme::kPmrcapBirShift |
             nvme::kPmrcapReadBarrier | kReadyTimeout << nvme::kPmrcapToShift | nvme::kPmrcapCmss;
    case nvme::kPmrctl:
      return control_;
    case nvme::kPmrsts:
      return (isReady_ ? 0 : nvme::kPmrstsNrdy) | (isRefused_ ? nvme::kPmrstsCbai : 0);
    case nvme::kPmrmscl:
      return static_cast<uint32_t>(memorySpace_);
    case nvme::kPmrmscu:
      return static_cast<uint32_t>(memorySpace_ >> 32);
    default:
      return 0;  // PMREBS and PMRSWTP: no elasticity buffer, no sustained throughput claimed
  }
}

void NvmePmr::write(uint64_t offset, uint32_t value) {
  if (!exists()) return;
  switch (offset) {
    case nvme::kPmrctl:
      control_ = value & nvme::kPmrctlEn;
      break;
    case nvme::kPmrmscl:
      memorySpace_ =
          (memorySpace_ & ~0xffffffffull) | (value & (nvme::kPmrmscCba | nvme::kPmrmscCmse));
      apply();
      break;
    case nvme::kPmrmscu:
      memorySpace_ = (memorySpace_ & 0xffffffff) | uint64_t{value} << 32;
      apply();
      break;
    default:
      break;
  }
}

void NvmePmr::poll() {
  isReady_ = isEnabled();
  apply();
}

}  // namespace p2pmem::loopback
