// Parts of BARs as dma-bufs (VFIO_DEVICE_FEATURE_DMA_BUF, Linux 6.19).
#pragma once

#include <cstdint>
#include <string>

#include "core/region.h"
#include "core/status.h"
#include "core/unique_fd.h"

namespace p2pmem {

/// What of a BAR no other device may reach. VFIO exports any page, registers and interrupt vectors
/// too: whoever writes those commands the device, or sends interrupts in its name. Of an NVMe
/// controller's BAR 0 nothing but its CMB is exported. `config`: the device's configuration space.
/// Errors: NOT_MAPPABLE, IO.
Status checkExportable(Region& config, Region& bar, const std::string& address, uint64_t offset,
                       uint64_t length);

/// Exports [offset, offset + length) of a BAR of the VFIO device `device`. Errors: NO_DMABUF,
/// BAD_RANGE, DEVICE_GONE, IO.
Result<UniqueFd> exportRange(int device, const std::string& address, uint32_t bar, uint64_t offset,
                             uint64_t length);

}  // namespace p2pmem
