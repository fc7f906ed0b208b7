// What a namespace keeps its blocks in: memory, or a file.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/memory.h"
#include "core/status.h"
#include "core/unique_fd.h"
#include "loopback/nvme_transfer.h"

namespace p2pmem::loopback {

class NvmeMedia {
 public:
  virtual ~NvmeMedia() = default;
  NvmeMedia(const NvmeMedia&) = delete;
  NvmeMedia& operator=(const NvmeMedia&) = delete;

  uint64_t size() const { return size_; }

  /// Before first use. Errors: NO_MEMORY.
  virtual Status prepare() { return {}; }

  // Offsets and lengths are inside the media, that has been checked. False: the medium failed.
  // Runs without memory take nothing (read) or give zeros (write, compare).
  virtual bool read(uint64_t offset, std::span<const Run> runs) = 0;
  virtual bool write(uint64_t offset, std::span<const Run> runs) = 0;
  virtual bool zero(uint64_t offset, uint64_t length) = 0;
  /// `equal` tells the result.
  virtual bool compare(uint64_t offset, std::span<const Run> runs, bool& equal) = 0;
  virtual bool flush() { return true; }

 protected:
  explicit NvmeMedia(uint64_t size) : size_(size) {}

 private:
  uint64_t size_;
};

class MemoryMedia final : public NvmeMedia {
 public:
  explicit MemoryMedia(uint64_t size) : NvmeMedia(size) {}

  Status prepare() override;
  bool read(uint64_t offset, std::span<const Run> runs) override;
  bool write(uint64_t offset, std::span<const Run> runs) override;
  bool zero(uint64_t offset, uint64_t length) override;
  bool compare(uint64_t offset, std::span<const Run> runs, bool& equal) override;

 private:
  std::shared_ptr<PinnedMemory> memory_;
};

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
