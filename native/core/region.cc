#include "core/region.h"

namespace p2pmem {

Status Region::checkAccess(uint64_t offset, uint32_t width) const {
  const bool powerOfTwo = width == 1 || width == 2 || width == 4 || width == 8;
  if (!powerOfTwo || offset % width != 0 || info_.size < width || offset > info_.size - width)
    return Error{.code = "BAD_RANGE",
                 .message = "no aligned access of " + std::to_string(width) + " bytes at offset " +
                            std::to_string(offset) + " in a region of " +
                            std::to_string(info_.size) + " bytes"};
  return {};
}

Status Region::checkMap(uint64_t offset, uint64_t length) const {
  if (length == 0 || offset % 4096 != 0 || length % 4096 != 0)
    return Error{.code = "BAD_RANGE", .message = "a mapping of a region must be page aligned"};
  for (const Extent& extent : info_.mappable)
    if (offset >= extent.offset && length <= extent.length &&
        offset - extent.offset <= extent.length - length)
      return {};
  return Error{.code = "NOT_MAPPABLE",
               .message = "region " + std::to_string(index_) + " cannot be mapped at offset " +
                          std::to_string(offset) + ", length " + std::to_string(length),
               .hint = "the device or the kernel does not allow this part of the BAR to be mapped"};
}

}  // namespace p2pmem
