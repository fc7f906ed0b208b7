// MachineConfiguration of lib/platform/machine-file.ts, from JavaScript to C++.
#pragma once

#include <napi.h>

#include "loopback/configuration.h"

namespace p2pmem {

/// Errors: throws BAD_MACHINE with the name of the field.
loopback::MachineConfiguration readMachineConfiguration(const Napi::Object& object);

}  // namespace p2pmem
