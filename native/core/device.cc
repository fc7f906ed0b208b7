#include "core/device.h"

namespace p2pmem {

namespace {
// PCI Local Bus 3.0 §6.2.2, command register.
constexpr uint64_t kCommand = 0x04;
constexpr uint64_t kCommandMemory = 1 << 1;
constexpr uint64_t kCommandBusMaster = 1 << 2;
constexpr uint64_t kNobodyAnswers = 0xffff;

Error goneError(const std::string& device, const char* why, const char* hint) {
  return {.code = "DEVICE_GONE", .message = device + why, .device = device, .hint = hint};
}
}  // namespace

Result<uint64_t> Device::readCommand() {
  auto config = region(kConfig);
  if (!config.ok()) return config.take();
  auto command = config.value()->read(kCommand, 2);
  if (command.ok() && command.value() == kNobodyAnswers)
    return goneError(address_, " does not answer", "it was removed, or its link is down");
  return command;
}

Status Device::setBusMaster(bool on) {
  auto command = readCommand();
  if (!command.ok()) return command.take();
  auto config = region(kConfig);
  if (!config.ok()) return config.take();
  const uint64_t rest = command.value() & ~kCommandBusMaster;
  return config.value()->write(kCommand, 2, on ? rest | kCommandMemory | kCommandBusMaster : rest);
}

Result<UniqueFd> Device::exportDmabuf(uint32_t /*region*/, uint64_t /*offset*/,
                                      uint64_t /*length*/) {
  return Error{.code = "NO_DMABUF",
               .message = address_ + " cannot give its memory as a dma-buf",
               .device = address_};
}

Status Device::restore() {
  auto command = readCommand();
  if (!command.ok()) return command.take();
  if (!(command.value() & kCommandMemory))
    return goneError(address_, " does not decode its memory",
                     "set bit 1 of its command register, or reset it");
  return restoreMappings();
}

}  // namespace p2pmem
