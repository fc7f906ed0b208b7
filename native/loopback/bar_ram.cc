#include "loopback/bar_ram.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/huge_pages.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1
#endif

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

// The pages of a part of the file, zeroed. Here a lack of memory is an error; later it would be a
// SIGBUS that means something else.
Status populate(int fd, uint64_t offset, uint64_t length) {
  if (fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0) return {};
  return systemError("NO_MEMORY", "fallocate",
                     "cannot allocate " + std::to_string(length) + " bytes");
}

}  // namespace

Result<std::shared_ptr<BarRam>> BarRam::map(UniqueFd file, uint64_t size, const std::string& name) {
  auto elsewhere = makeFile(size);
  if (!elsewhere.ok()) return elsewhere.take();
  void* data = mapAligned(size, MAP_SHARED, file.get());
  if (data == MAP_FAILED) return systemError("IO", "mmap", "cannot map " + name);
  madvise(data, size, MADV_DONTDUMP);
  return std::shared_ptr<BarRam>(
      new BarRam(data, size, std::move(file), std::move(elsewhere.value())));
}

Result<std::shared_ptr<BarRam>> BarRam::allocate(uint64_t size) {
  auto file = makeFile(size);
  if (!file.ok()) return file.take();
  const int fd = file.value().get();
  // Huge pages, whatever the system does for files in memory by itself, where the kernel has some
  // to give: less time to fill them, and less to translate in each copy. It makes one of what holds
  // a page already.
  for (uint64_t at = 0; at < size; at += kHugePage)
    if (Status status = populate(fd, at, std::min<uint64_t>(size, kSmallPage)); !status.ok())
      return status.take();
  auto ram = map(std::move(file.value()), size, "a file in memory");
  if (!ram.ok()) return ram;
  (void)madvise(ram.value()->data(), size, MADV_COLLAPSE);
  if (Status status = populate(fd, 0, size); !status.ok()) return status.take();
  return ram;
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
