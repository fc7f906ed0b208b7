#include "core/device.h"

namespace p2pmem {

namespace {
// PCI Local Bus 3.0 §6.2.2, command register.
constexpr uint64_t kCommand = 0x04;
constexpr uint64_t kCommandMemory = 1 << 1;
constexpr uint64_t kCommandBusMaster = 1 << 2;
}  // namespace

Status Device::setBusMaster(bool on) {
  auto config = region(kConfig);
  if (!config.ok()) return config.take();
  auto command = config.value()->read(kCommand, 2);
  if (!command.ok()) return command.take();
  const uint64_t rest = command.value() & ~kCommandBusMaster;
  return config.value()->write(kCommand, 2, on ? rest | kCommandMemory | kCommandBusMaster : rest);
}

}  // namespace p2pmem
