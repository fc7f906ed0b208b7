// A p2pmem card: RAM behind BAR 2, which is the layout of QEMU's ivshmem, so that the same code
// finds the one and the other.
#pragma once

#include "loopback/configuration.h"
#include "loopback/endpoint.h"

namespace p2pmem::loopback {

class MemoryCard final : public Endpoint {
 public:
  explicit MemoryCard(const CardConfiguration& configuration);
};

}  // namespace p2pmem::loopback
