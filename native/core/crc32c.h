// CRC-32C (Castagnoli; RFC 3720, appendix B.4), by which verification finds that a block was
// damaged.
#pragma once

#include <cstddef>
#include <cstdint>

namespace p2pmem {

/// By the processor's own instruction where it has one, else as crc32cPortable().
uint32_t crc32c(const uint8_t* data, size_t length);

/// By tables, on any processor.
uint32_t crc32cPortable(const uint8_t* data, size_t length);

}  // namespace p2pmem
