// The RAM behind a BAR: a file, so that it can be mapped twice. The machine's own mapping is always
// there and is what devices use; those that a process gets of the BAR come and go with the device.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "core/memory.h"
#include "core/unique_fd.h"

namespace p2pmem::loopback {

/// What an access to a BAR finds.
enum class BarAnswer {
  device,     // its RAM
  undefined,  // a device that neither shows its RAM nor takes what is written there
  nobody
};

class BarRam final : public MappedMemory {
 public:
  /// Prefaulted, zeroed. Errors: NO_MEMORY, IO.
  static Result<std::shared_ptr<BarRam>> allocate(uint64_t size);
  /// In a file that is made, or made larger, where it has to be. Errors: IO.
  static Result<std::shared_ptr<BarRam>> open(const std::string& path, uint64_t size);

  /// A file and an offset in it.
  struct Place {
    int fd;
    off_t offset;
  };
  /// What is to be mapped for what lies at `offset`: for `nobody` what is past a file's end, where
  /// each access raises SIGBUS (mmap(2)), as it does in a BAR that VFIO has taken away.
  Place place(BarAnswer answer, uint64_t offset) const;

 private:
  BarRam(void* data, uint64_t size, UniqueFd file, UniqueFd elsewhere)
      : MappedMemory(Kind::device, data, size),
        file_(std::move(file)),
        elsewhere_(std::move(elsewhere)) {}

  static Result<std::shared_ptr<BarRam>> map(UniqueFd file, uint64_t size, const std::string& name);

  UniqueFd file_;
  UniqueFd elsewhere_;  // as large as the RAM, for what is undefined
};

}  // namespace p2pmem::loopback
