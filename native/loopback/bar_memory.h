// A part of a simulated BAR as it is mapped into the process: like VFIO's, it raises SIGBUS while
// its device does not answer, and shows ones after that until it is restored.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/bus_error.h"
#include "core/memory.h"
#include "loopback/machine.h"

namespace p2pmem::loopback {

class BarMemory final : public Memory {
 public:
  /// `offset` counts from the start of the BAR's RAM. With the machine's lock held. Errors:
  /// NOT_MAPPABLE, NO_MEMORY, IO.
  static Result<std::shared_ptr<BarMemory>> map(std::shared_ptr<Machine> machine,
                                                Endpoint& endpoint, const Bar& bar, uint64_t offset,
                                                uint64_t size);
  ~BarMemory() override;

  std::string device() const override { return endpoint_.address; }
  uint64_t losses() const override { return range_->losses(); }
  void cpuAccess(size_t bytes, bool write) override {
    machine_->router().countCpuAccess(endpoint_, bytes, write);
  }

  /// Has accesses find what is there by now. With the machine's lock held, as restore().
  void present(BarAnswer answer);
  /// Errors: DEVICE_GONE, IO.
  Status restore();

  const Endpoint& endpoint() const { return endpoint_; }
  const Bar& bar() const { return bar_; }
  const Machine& machine() const { return *machine_; }
  /// The same memory as devices reach it.
  uint8_t* inside() const { return ram_->data() + offset_; }

 private:
  BarMemory(std::shared_ptr<Machine> machine, Endpoint& endpoint, const Bar& bar, void* data,
            uint64_t offset, uint64_t size)
      : Memory(Kind::device, data, size),
        machine_(std::move(machine)),
        ram_(bar.memory),
        endpoint_(endpoint),
        bar_(bar),
        offset_(offset) {}

  std::shared_ptr<Machine> machine_;
  std::shared_ptr<BarRam> ram_;
  Endpoint& endpoint_;
  const Bar& bar_;
  uint64_t offset_;
  BarAnswer answer_ = BarAnswer::device;
  std::unique_ptr<VanishingRange> range_;
};

}  // namespace p2pmem::loopback
