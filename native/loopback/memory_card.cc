#include "loopback/memory_card.h"

namespace p2pmem::loopback {

namespace {
constexpr PciIdentity kIdentity{0x1af4, 0x1110, pci::kClassOtherMemory};
constexpr uint64_t kRegisterBytes = 4096;  // BAR 0: reads 0, takes anything
}  // namespace

MemoryCard::MemoryCard(const CardConfiguration& configuration) : Endpoint(kIdentity) {
  bars[0] = {.size = kRegisterBytes};
  bars[2] = {.size = configuration.memorySize,
             .prefetchable = true,
             .memorySize = configuration.memorySize};
}

}  // namespace p2pmem::loopback
