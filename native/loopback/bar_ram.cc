#include "loopback/bar_ram.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace p2pmem::loopback {

namespace {

// Takes no memory before something is written to it.
Result<UniqueFd> makeFile(uint64_t size) {
  UniqueFd fd(memfd_create("p2pmem-bar", MFD_CLOEXEC));
  if (!fd) return systemError("IO", "memfd_create", "cannot create a file in memory");
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return systemError("NO_MEMORY", "ftruncate", "cannot enlarge a file in memory");
  return fd;
}

}  // namespace

Result<std::shared_ptr<BarRam>> BarRam::map(UniqueFd file, uint64_t size, const std::string& name) {
  auto elsewhere = makeFile(size);
  if (!elsewhere.ok()) return elsewhere.take();
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (data == MAP_FAILED) return systemError("IO", "mmap", "cannot map " + name);
  madvise(data, size, MADV_DONTDUMP);
  return std::shared_ptr<BarRam>(
      new BarRam(data, size, std::move(file), std::move(elsewhere.value())));
}

Result<std::shared_ptr<BarRam>> BarRam::allocate(uint64_t size) {
  auto file = makeFile(size);
  if (!file.ok()) return file.take();
  // Here a lack of memory is an error; later it would be a SIGBUS that means something else.
  if (fallocate(file.value().get(), 0, 0, static_cast<off_t>(size)) != 0)
    return systemError("NO_MEMORY", "fallocate",
                       "cannot allocate " + std::to_string(size) + " bytes");
  return map(std::move(file.value()), size, "a file in memory");
}

Result<std::shared_ptr<BarRam>> BarRam::open(const std::string& path, uint64_t size) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!fd) return systemError("IO", "open", "cannot open " + path);
  struct stat facts = {};
  if (fstat(fd.get(), &facts) != 0) return systemError("IO", "fstat", "cannot examine " + path);
  if (static_cast<uint64_t>(facts.st_size) < size &&
      ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return systemError("IO", "ftruncate", "cannot enlarge " + path);
  return map(std::move(fd), size, path);
}

BarRam::Place BarRam::place(BarAnswer answer, uint64_t offset) const {
  switch (answer) {
    case BarAnswer::device:
      return {file_.get(), static_cast<off_t>(offset)};
    case BarAnswer::undefined:
      return {elsewhere_.get(), static_cast<off_t>(offset)};
    default:
      return {elsewhere_.get(), static_cast<off_t>(size() + offset)};
  }
}

}  // namespace p2pmem::loopback
