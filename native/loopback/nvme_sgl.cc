#include "loopback/nvme_sgl.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

namespace p2pmem::loopback {

namespace {

// §4.4, figures 113 to 120: type in bits 7:4 of the last byte, subtype in bits 3:0.
enum DescriptorType : uint8_t {
  kDataBlock = 0x0,
  kBitBucket = 0x1,
  kSegment = 0x2,
  kLastSegment = 0x3,
};

struct Descriptor {
  uint64_t address;
  uint32_t length;
  uint8_t reserved[3];
  uint8_t identifier;

  uint8_t type() const { return identifier >> 4; }
  uint8_t subtype() const { return identifier & 0xf; }  // 0: an address, not an offset
  bool leadsOn() const { return type() == kSegment || type() == kLastSegment; }
};
static_assert(sizeof(Descriptor) == 16);

// Segments that lead to each other would never end; no driver needs so many.
constexpr uint64_t kMostDescriptors = 1 << 16;
constexpr uint64_t kAddressAlignment = 8;  // of a segment

class SglWalk {
 public:
  SglWalk(uint64_t length, SglSupport support, NvmeRuns& runs)
      : left_(length), support_(support), runs_(runs) {}

  nvme::CommandStatus walk(Descriptor descriptor) {
    if (!descriptor.leadsOn()) {
      if (const auto failed = addData(descriptor)) return failed;
    }
    while (descriptor.leadsOn()) {
      Descriptor next{};
      if (const auto failed = addSegment(descriptor, next)) return failed;
      descriptor = next;
    }
    return left_ == 0 ? nvme::kSuccess : nvme::kDataSglLengthInvalid;
  }

 private:
  nvme::CommandStatus addData(const Descriptor& data) {
    if (data.subtype() != 0 || (data.type() != kDataBlock && data.type() != kBitBucket))
      return nvme::kSglTypeInvalid;
    const bool isBucket = data.type() == kBitBucket;
    // What the host gives cannot be thrown away: the length counts as 0 then (§4.4).
    if (isBucket && !runs_.write()) return nvme::kSuccess;
    if (!isBucket && support_ == SglSupport::dword && ((data.address | data.length) & 3))
      return nvme::kSglGranularityInvalid;
    if (data.length > left_) return nvme::kDataSglLengthInvalid;  // SGLS bit 18 is clear
    if (data.length == 0) return nvme::kSuccess;
    left_ -= data.length;
    if (isBucket) {
      runs_.skip(data.length);
      return nvme::kSuccess;
    }
    if (data.length - 1 > ~0ull - data.address) return nvme::kDataTransferError;
    runs_.extend(data.address, data.length);
    return nvme::kSuccess;
  }

  // All of the segment that `pointer` describes; `next` is the segment after it.
  nvme::CommandStatus addSegment(const Descriptor& pointer, Descriptor& next) {
    const bool isLast = pointer.type() == kLastSegment;
    if (pointer.subtype() != 0) return nvme::kSglTypeInvalid;
    if (pointer.length == 0 || pointer.length % sizeof(Descriptor) != 0 ||
        pointer.address % kAddressAlignment != 0)
      return nvme::kInvalidSglSegment;
    const uint64_t count = pointer.length / sizeof(Descriptor);
    seen_ += count;
    if (seen_ > kMostDescriptors) return nvme::kInvalidSglCount;
    std::array<Descriptor, nvme::kPageSize / sizeof(Descriptor)> part;
    for (uint64_t done = 0; done < count;) {
      const uint64_t size = std::min<uint64_t>(part.size(), count - done);
      const std::span descriptors(part.data(), size);
      if (!read(pointer.address + done * sizeof(Descriptor), descriptors))
        return nvme::kDataTransferError;
      for (const Descriptor& descriptor : descriptors) {
        const bool isFinal = ++done == count;
        if (!descriptor.leadsOn()) {
          if (isFinal && !isLast) return nvme::kInvalidSglSegment;
          if (const auto failed = addData(descriptor)) return failed;
          continue;
        }
        if (!isFinal) return nvme::kInvalidSglCount;
        if (isLast) return nvme::kInvalidSglSegment;
        next = descriptor;
      }
    }
    return nvme::kSuccess;
  }

  // A segment may begin anywhere and cross pages, even inside a descriptor.
  bool read(uint64_t address, std::span<Descriptor> to) {
    auto* at = reinterpret_cast<uint8_t*>(to.data());
    for (uint64_t left = to.size_bytes(); left > 0;) {
      const uint64_t part = std::min(left, nvme::kPageSize - address % nvme::kPageSize);
      const uint8_t* memory = runs_.list(address, static_cast<uint32_t>(part));
      if (!memory) return false;
      memcpy(at, memory, part);
      at += part;
      address += part;
      left -= part;
    }
    return true;
  }

  uint64_t left_;
  SglSupport support_;
  NvmeRuns& runs_;
  uint64_t seen_ = 0;
};

}  // namespace

nvme::CommandStatus gatherSgl(const nvme::Command& command, uint64_t length, SglSupport support,
                              NvmeRuns& runs) {
  Descriptor first;
  memcpy(&first, &command.dw[6], sizeof first);
  return SglWalk(length, support, runs).walk(first);
}

}  // namespace p2pmem::loopback
