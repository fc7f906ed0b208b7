#include "loopback/config_space.h"

#include "loopback/pci_spec.h"

namespace p2pmem::loopback {

uint64_t ConfigSpace::read(uint32_t offset, uint32_t width) const {
  uint64_t value = 0;
  for (uint32_t i = width; i-- > 0;) value = value << 8 | bytes_[offset + i];
  return value;
}

void ConfigSpace::write(uint32_t offset, uint32_t width, uint64_t value) {
  for (uint32_t i = 0; i < width; i++, value >>= 8) {
    const uint8_t mask = writable_[offset + i];
    uint8_t& byte = bytes_[offset + i];
    byte = static_cast<uint8_t>((byte & ~mask) | (value & mask));
  }
}

void ConfigSpace::set(uint32_t offset, uint32_t width, uint64_t value) {
  for (uint32_t i = 0; i < width; i++, value >>= 8) bytes_[offset + i] = value & 0xff;
}

void ConfigSpace::setWritable(uint32_t offset, uint32_t width, uint64_t mask) {
  for (uint32_t i = 0; i < width; i++, mask >>= 8) writable_[offset + i] = mask & 0xff;
}

void ConfigSpace::addCapability(uint32_t offset, uint8_t id) {
  const uint32_t link = lastCapability_ == 0 ? pci::kCapabilitiesPointer : lastCapability_ + 1;
  set(link, 1, offset);
  set(offset, 1, id);
  set(pci::kStatus, 2, read(pci::kStatus, 2) | pci::kStatusCapabilities);
  lastCapability_ = offset;
}

}  // namespace p2pmem::loopback
