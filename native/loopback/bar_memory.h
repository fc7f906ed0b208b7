// A mapped part of a simulated BAR.
#pragma once

#include <cstdint>
#include <memory>

#include "core/memory.h"
#include "loopback/machine.h"

namespace p2pmem::loopback {

class BarMemory final : public Memory {
 public:
  /// `offset` counts from the start of the BAR's RAM.
  BarMemory(std::shared_ptr<Machine> machine, const Endpoint& endpoint, const Bar& bar,
            uint64_t offset, uint64_t size)
      : Memory(Kind::device, bar.memory->data() + offset, size),
        machine_(std::move(machine)),
        ram_(bar.memory),
        endpoint_(endpoint) {}

  void cpuAccess(size_t bytes, bool write) override {
    machine_->router().countCpuAccess(endpoint_, bytes, write);
  }

  const Endpoint& endpoint() const { return endpoint_; }
  const Machine& machine() const { return *machine_; }

 private:
  std::shared_ptr<Machine> machine_;
  std::shared_ptr<MappedMemory> ram_;
  const Endpoint& endpoint_;
};

}  // namespace p2pmem::loopback
