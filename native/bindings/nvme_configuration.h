// What a loopback NVMe controller is, and what it does wrong, from JavaScript to C++.
#pragma once

#include <napi.h>

#include "loopback/configuration.h"

namespace p2pmem {

/// NvmeConfiguration of lib/platform/nvme-schema.ts. Errors: throws BAD_MACHINE with the field.
loopback::NvmeConfiguration readNvmeConfiguration(const Napi::Object& device);

/// NativeFault of lib/addon.ts. Errors: throws BAD_MACHINE with the field.
loopback::Fault readFault(const Napi::Object& fault);

}  // namespace p2pmem
