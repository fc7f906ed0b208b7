#include "loopback/loopback_region.h"

#include "loopback/bar_memory.h"

namespace p2pmem::loopback {

namespace {

// One access of exactly this width, as a register would see it.
template <class T>
uint64_t load(const uint8_t* at) {
  return *reinterpret_cast<const volatile T*>(at);
}

template <class T>
void store(uint8_t* at, uint64_t value) {
  *reinterpret_cast<volatile T*>(at) = static_cast<T>(value);
}

uint64_t ones(uint32_t width) { return ~0ull >> (64 - 8 * width); }

}  // namespace

LoopbackRegion::LoopbackRegion(std::weak_ptr<Machine> machine, Endpoint& endpoint, uint64_t owner,
                               uint32_t index)
    : Region(index, describe(endpoint, index)),
      machine_(std::move(machine)),
      address_(endpoint.address),
      endpoint_(endpoint),
      owner_(owner) {}

RegionInfo LoopbackRegion::describe(const Endpoint& endpoint, uint32_t index) {
  RegionInfo info;
  if (index == kConfig) {
    info = {.size = ConfigSpace::kSize, .readable = true, .writable = true, .mappable = {}};
  } else if (index <= kBar5 && endpoint.bars[index].size > 0) {
    const Bar& bar = endpoint.bars[index];
    info = {.size = bar.size, .readable = true, .writable = true, .mappable = {}};
    if (bar.memorySize > 0) info.mappable.push_back({bar.memoryOffset, bar.memorySize});
  }
  return info;
}

Error LoopbackRegion::closed() const {
  return {.code = "CLOSED", .message = address_ + " has been closed", .device = address_};
}

Status LoopbackRegion::checkOpen() const {
  if (endpoint_.owner != owner_) return closed();
  return {};
}

uint8_t* LoopbackRegion::ramAt(uint64_t offset) const {
  const Bar& bar = endpoint_.bars[index()];
  const uint64_t at = offset - bar.memoryOffset;
  return at < bar.memorySize ? bar.memory->data() + at : nullptr;
}

// As of a BAR that VFIO has taken away from the process: from the first access that finds nobody on
// all do, until the BAR is mapped again.
bool LoopbackRegion::isLost() {
  Bar& bar = endpoint_.bars[index()];
  if (endpoint_.answer(bar) == BarAnswer::nobody) bar.lost = true;
  return bar.lost;
}

Result<uint64_t> LoopbackRegion::read(uint64_t offset, uint32_t width) {
  if (Status status = checkAccess(offset, width); !status.ok()) return status.take();
  const auto machine = machine_.lock();
  if (!machine) return closed();
  const MachineLock::Guard guard(machine->lock());
  if (Status status = checkOpen(); !status.ok()) return status.take();
  if (index() == kConfig)
    return endpoint_.removed ? ones(width)
                             : endpoint_.config.read(static_cast<uint32_t>(offset), width);
  // Nobody claims the access: the root complex makes up all ones (PCIe 4.0 §2.3.2).
  if (isLost()) return ones(width);
  const uint8_t* ram = ramAt(offset);
  if (!ram) return endpoint_.readRegister(index(), offset, width);
  if (!endpoint_.bars[index()].enabled) return ones(width);
  switch (width) {
    case 1:
      return load<uint8_t>(ram);
    case 2:
      return load<uint16_t>(ram);
    case 4:
      return load<uint32_t>(ram);
    default:
      return load<uint64_t>(ram);
  }
}

Status LoopbackRegion::write(uint64_t offset, uint32_t width, uint64_t value) {
  if (Status status = checkAccess(offset, width); !status.ok()) return status;
  const auto machine = machine_.lock();
  if (!machine) return closed();
  const MachineLock::Guard guard(machine->lock());
  if (Status status = checkOpen(); !status.ok()) return status;
  machine->wake();
  if (index() == kConfig) {
    if (!endpoint_.removed) writeConfig(*machine, offset, width, value);
    return {};
  }
  if (isLost()) return {};
  uint8_t* ram = ramAt(offset);
  if (!ram) {
    endpoint_.writeRegister(index(), offset, width, value);
    return {};
  }
  if (!endpoint_.bars[index()].enabled) return {};
  switch (width) {
    case 1:
      store<uint8_t>(ram, value);
      break;
    case 2:
      store<uint16_t>(ram, value);
      break;
    case 4:
      store<uint32_t>(ram, value);
      break;
    default:
      store<uint64_t>(ram, value);
  }
  return {};
}

void LoopbackRegion::writeConfig(Machine& machine, uint64_t offset, uint32_t width,
                                 uint64_t value) {
  endpoint_.config.write(static_cast<uint32_t>(offset), width, value);
  if (endpoint_.takeFunctionLevelReset()) (void)endpoint_.tryReset();
  endpoint_.presentBars();
  endpoint_.sendPending();
  machine.invalidate();  // memory decode or bus mastering may have changed
}

Result<std::shared_ptr<Memory>> LoopbackRegion::map(uint64_t offset, uint64_t length) {
  if (Status status = checkMap(offset, length); !status.ok()) return status.take();
  const auto machine = machine_.lock();
  if (!machine) return closed();
  const MachineLock::Guard guard(machine->lock());
  if (Status status = checkOpen(); !status.ok()) return status.take();
  const Bar& bar = endpoint_.bars[index()];
  auto memory = BarMemory::map(machine, endpoint_, bar, offset - bar.memoryOffset, length);
  if (!memory.ok()) return memory.take();
  return std::shared_ptr<Memory>(std::move(memory.value()));
}

}  // namespace p2pmem::loopback
