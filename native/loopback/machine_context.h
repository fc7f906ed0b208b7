// The machine as its devices see it.
#pragma once

#include <cstdint>

#include "loopback/machine_lock.h"
#include "loopback/router.h"

namespace p2pmem::loopback {

/// What a device shares with the machine around it.
struct MachineContext {
  MachineLock& lock;
  Router& router;
  uint64_t& epoch;  // to be changed whenever an address may mean something else
};

}  // namespace p2pmem::loopback
