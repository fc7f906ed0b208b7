#include "loopback/file_media.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace p2pmem::loopback {

namespace {
constexpr size_t kChunk = 64 << 10;
constexpr std::array<uint8_t, kChunk> kZeros{};
}  // namespace

Result<std::unique_ptr<NvmeMedia>> FileMedia::open(const std::string& path, uint64_t size) {
  const int create = size > 0 ? O_CREAT : 0;
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | create, 0666));
  if (!fd) return systemError("IO", "open", "cannot open " + path);
  struct stat facts = {};
  if (fstat(fd.get(), &facts) != 0) return systemError("IO", "fstat", "cannot examine " + path);
  const auto present = static_cast<uint64_t>(facts.st_size);
  if (size > present && ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return systemError("IO", "ftruncate", "cannot enlarge " + path);
  return std::unique_ptr<NvmeMedia>(new FileMedia(std::move(fd), size > 0 ? size : present));
}

bool FileMedia::readAll(uint64_t offset, uint8_t* to, uint64_t length) {
  while (length > 0) {
    const ssize_t done = pread(fd_.get(), to, length, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;  // 0: the file has been cut short
    to += done;
    offset += static_cast<uint64_t>(done);
    length -= static_cast<uint64_t>(done);
  }
  return true;
}

bool FileMedia::writeAll(uint64_t offset, const uint8_t* from, uint64_t length) {
  while (length > 0) {
    const ssize_t done = pwrite(fd_.get(), from, length, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    from += done;
    offset += static_cast<uint64_t>(done);
    length -= static_cast<uint64_t>(done);
  }
  return true;
}

bool FileMedia::read(uint64_t offset, std::span<const Run> runs) {
  for (const Run& run : runs) {
    if (run.data && !readAll(offset, run.data, run.length)) return false;
    offset += run.length;
  }
  return true;
}

bool FileMedia::write(uint64_t offset, std::span<const Run> runs) {
  for (const Run& run : runs) {
    if (!(run.data ? writeAll(offset, run.data, run.length) : zero(offset, run.length)))
      return false;
    offset += run.length;
  }
  return true;
}

bool FileMedia::zero(uint64_t offset, uint64_t length) {
  while (length > 0) {
    const uint64_t part = std::min<uint64_t>(length, kChunk);
    if (!writeAll(offset, kZeros.data(), part)) return false;
    offset += part;
    length -= part;
  }
  return true;
}

bool FileMedia::compare(uint64_t offset, std::span<const Run> runs, bool& equal) {
  std::array<uint8_t, kChunk> media;
  equal = true;
  for (const Run& run : runs) {
    for (uint64_t at = 0; at < run.length;) {
      const uint64_t part = std::min<uint64_t>(run.length - at, kChunk);
      if (!readAll(offset, media.data(), part)) return false;
      const uint8_t* other = run.data ? run.data + at : kZeros.data();
      equal = equal && memcmp(media.data(), other, part) == 0;
      offset += part;
      at += part;
    }
  }
  return true;
}

bool FileMedia::flush() { return fdatasync(fd_.get()) == 0; }

}  // namespace p2pmem::loopback
