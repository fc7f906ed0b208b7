// Media in a file of the host, which others may look at, before and after.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/unique_fd.h"
#include "loopback/nvme_media.h"

namespace p2pmem::loopback {

class FileMedia final : public NvmeMedia {
 public:
  /// With `size` 0 the file must exist and its size counts; else it is made that large if it is
  /// smaller. Errors: IO.
  static Result<std::unique_ptr<NvmeMedia>> open(const std::string& path, uint64_t size);

  bool read(uint64_t offset, std::span<const Run> runs) override;
  bool write(uint64_t offset, std::span<const Run> runs) override;
  bool zero(uint64_t offset, uint64_t length) override;
  bool compare(uint64_t offset, std::span<const Run> runs, bool& equal) override;
  bool flush() override;

 private:
  FileMedia(UniqueFd fd, uint64_t size) : NvmeMedia(size), fd_(std::move(fd)) {}

  bool readAll(uint64_t offset, uint8_t* to, uint64_t length);
  bool writeAll(uint64_t offset, const uint8_t* from, uint64_t length);

  UniqueFd fd_;
};

}  // namespace p2pmem::loopback
