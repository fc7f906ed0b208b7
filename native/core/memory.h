// Memory that this process can address: pinned host pages, or a mapped part of a device's BAR.
// Lifetime is by shared_ptr: an address space that maps it, every JavaScript environment that has
// it open, and nobody else, keep it. It is unmapped from the process when the last of them lets go,
// so a device can never reach memory that is gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/status.h"
#include "core/weak_table.h"

namespace p2pmem {

class Memory {
 public:
  enum class Kind { host, device };

  virtual ~Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  Kind kind() const { return kind_; }

  /// Bytes in a page of what backs it: 4096, or 2 MiB.
  virtual size_t pageSize() const { return 4096; }

  /// PCI address of the device that it belongs to; empty for host memory.
  virtual std::string device() const { return {}; }

  /// Changes each time the CPU finds the device gone; its lowest bit is set while the memory shows
  /// ones in the device's place. See VanishingRange.
  virtual uint64_t losses() const { return 0; }
  bool isGone() const { return losses() & 1; }

  /// Called by cpuCopy for each transfer that the CPU makes to or from device memory. The loopback
  /// machine counts it as the PCI fabric would see it; real machines need no help.
  virtual void cpuAccess(size_t /*bytes*/, bool /*write*/) {}

 protected:
  Memory(Kind kind, void* data, size_t size)
      : kind_(kind), data_(static_cast<uint8_t*>(data)), size_(size) {}

 private:
  Kind kind_;
  uint8_t* data_;
  size_t size_;
};

/// Tells whether memory was there all the time, from the making of this object on.
class PresenceCheck {
 public:
  explicit PresenceCheck(const Memory& memory) : memory_(memory), losses_(memory.losses()) {}

  /// Errors: DEVICE_GONE: what was read may be ones, what was written may be lost.
  Status result() const;

 private:
  const Memory& memory_;
  uint64_t losses_;
};

/// An mmap of this process, undone on destruction.
class MappedMemory : public Memory {
 public:
  MappedMemory(Kind kind, void* data, size_t size) : Memory(kind, data, size) {}
  ~MappedMemory() override;
};

/// Anonymous host memory, prefaulted, zeroed, kept out of core dumps and of forked children.
class PinnedMemory final : public MappedMemory {
 public:
  /// `size` is rounded up to the page size that was used: 2 MiB from the hugepage pool where
  /// `huge` is set and the pool has room, else 4 KiB (aligned to 2 MiB for transparent huge pages
  /// if it is at least that large). Errors: NO_MEMORY.
  static Result<std::shared_ptr<PinnedMemory>> allocate(size_t size, bool huge);

  size_t pageSize() const override { return pageSize_; }

 private:
  PinnedMemory(void* data, size_t size, size_t pageSize)
      : MappedMemory(Kind::host, data, size), pageSize_(pageSize) {}

  size_t pageSize_;
};

using MemoryTable = WeakTable<Memory>;

}  // namespace p2pmem
