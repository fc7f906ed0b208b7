// 4 KiB of PCI Express configuration space: bytes, and which of their bits software may change.
#pragma once

#include <array>
#include <cstdint>

namespace p2pmem::loopback {

class ConfigSpace {
 public:
  static constexpr uint32_t kSize = 4096;

  uint64_t read(uint32_t offset, uint32_t width) const;
  /// A write by software: changes the writable bits only.
  void write(uint32_t offset, uint32_t width, uint64_t value);

  /// A change by the device itself.
  void set(uint32_t offset, uint32_t width, uint64_t value);
  void setWritable(uint32_t offset, uint32_t width, uint64_t mask);

  /// Appends to the capability list (PCI 3.0 §6.7) at `offset`, dword aligned, in ascending order.
  void addCapability(uint32_t offset, uint8_t id);

  const uint8_t* bytes() const { return bytes_.data(); }

 private:
  std::array<uint8_t, kSize> bytes_{};
  std::array<uint8_t, kSize> writable_{};
  uint32_t lastCapability_ = 0;
};

}  // namespace p2pmem::loopback
