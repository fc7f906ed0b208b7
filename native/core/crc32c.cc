#include "core/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

#ifdef __x86_64__
#include <nmmintrin.h>
#endif

namespace p2pmem {

namespace {

static_assert(std::endian::native == std::endian::little, "words are read as they lie in memory");

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected

using Table = std::array<uint32_t, 256>;

// [n][b]: what the byte b, followed by n zeros, leaves in an empty register.
constexpr std::array<Table, 8> makeTables() {
  std::array<Table, 8> tables = {};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t zeros = 1; zeros < tables.size(); zeros++)
    for (uint32_t byte = 0; byte < 256; byte++) {
      const uint32_t before = tables[zeros - 1][byte];
      tables[zeros][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  return tables;
}

constexpr std::array<Table, 8> kTables = makeTables();

uint64_t load(const uint8_t* data) {
  uint64_t word;
  memcpy(&word, data, sizeof word);
  return word;
}

uint32_t addByte(uint32_t crc, uint8_t byte) {
  return (crc >> 8) ^ kTables[0][(crc ^ byte) & 0xff];
}

#ifdef __x86_64__

// The instruction gives its result after three cycles and can be begun in each: three streams at
// once keep it busy.
constexpr size_t kStreamBytes = 1344;  // three of them and a header are a block of 4 KiB

// What kStreamBytes zeros make of a register, by the register's bytes: the step is linear.
std::array<Table, 4> makeSkip() {
  std::array<Table, 4> skip = {};
  for (int bit = 0; bit < 32; bit++) {
    uint32_t crc = uint32_t{1} << bit;
    for (size_t i = 0; i < kStreamBytes; i++) crc = addByte(crc, 0);
    Table& table = skip[bit / 8];
    for (uint32_t byte = 0; byte < 256; byte++)
      if (byte & (1u << (bit % 8))) table[byte] ^= crc;
  }
  return skip;
}

uint32_t skipStream(const std::array<Table, 4>& skip, uint32_t crc) {
  return skip[0][crc & 0xff] ^ skip[1][(crc >> 8) & 0xff] ^ skip[2][(crc >> 16) & 0xff] ^
         skip[3][crc >> 24];
}

__attribute__((target("sse4.2"))) uint32_t crc32cByInstruction(const uint8_t* data, size_t length) {
  static const std::array<Table, 4> skip = makeSkip();
  uint64_t crc = 0xffffffff;
  for (; length >= 3 * kStreamBytes; length -= 3 * kStreamBytes, data += 3 * kStreamBytes) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t at = 0; at < kStreamBytes; at += 8) {
      crc = _mm_crc32_u64(crc, load(data + at));
      second = _mm_crc32_u64(second, load(data + kStreamBytes + at));
      third = _mm_crc32_u64(third, load(data + 2 * kStreamBytes + at));
    }
    crc = skipStream(skip, static_cast<uint32_t>(crc)) ^ second;
    crc = skipStream(skip, static_cast<uint32_t>(crc)) ^ third;
  }
  for (; length >= 8; length -= 8, data += 8) crc = _mm_crc32_u64(crc, load(data));
  auto rest = static_cast<uint32_t>(crc);
  for (; length > 0; length--) rest = _mm_crc32_u8(rest, *data++);
  return ~rest;
}

#endif

}  // namespace

uint32_t crc32cPortable(const uint8_t* data, size_t length) {
  uint32_t crc = 0xffffffff;
  for (; length >= 8; length -= 8, data += 8) {
    const uint64_t word = load(data) ^ crc;
    crc = 0;
    for (size_t i = 0; i < 8; i++) crc ^= kTables[7 - i][(word >> (8 * i)) & 0xff];
  }
  for (; length > 0; length--) crc = addByte(crc, *data++);
  return ~crc;
}

uint32_t crc32c(const uint8_t* data, size_t length) {
#ifdef __x86_64__
  if (__builtin_cpu_supports("sse4.2")) return crc32cByInstruction(data, length);
#endif
  return crc32cPortable(data, length);
}

}  // namespace p2pmem
