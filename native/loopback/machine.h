// A PCI machine in a box: fabric, IOMMU and devices, and the one thread that is all the devices.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/address_space.h"
#include "core/rdma.h"
#include "loopback/configuration.h"
#include "loopback/endpoint.h"
#include "loopback/fabric.h"
#include "loopback/machine_lock.h"
#include "loopback/nvme_controller.h"
#include "loopback/rnic.h"
#include "loopback/router.h"

namespace p2pmem::loopback {

class Machine : public std::enable_shared_from_this<Machine> {
 public:
  /// Errors: BAD_MACHINE, IO (a namespace's file).
  static Result<std::shared_ptr<Machine>> create(const MachineConfiguration& configuration);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  const Fabric& fabric() const { return fabric_; }
  Router& router() { return router_; }
  MachineLock& lock() { return lock_; }
  uint32_t iovaBits() const { return iovaBits_; }

  std::shared_ptr<AddressSpace> openAddressSpace();

  /// Gives `endpoint` to `domain` and answers with the number of its owner. With the lock held.
  /// Errors: NOT_BOUND, GROUP_NOT_VIABLE, IN_USE, NO_MEMORY.
  Result<uint64_t> claim(Endpoint& endpoint, const std::shared_ptr<IommuDomain>& domain);
  /// Resets it and takes it out of its domain. With the lock held.
  void release(Endpoint& endpoint);

  /// Addresses may mean something else from now on. With the lock held.
  void invalidate() { epoch_++; }
  /// A register was written: the device thread looks at once. With the lock held.
  void wake();

  /// Errors: UNKNOWN_DEVICE, BAD_MACHINE.
  Status inject(const std::string& address, const Fault& fault);
  Status clearFaults(const std::string& address);
  /// Puts in again what was removed. Errors: UNKNOWN_DEVICE, IN_USE.
  Status replug(const std::string& address);

  struct RdmaDeviceName {
    std::string name;
    std::string address;
  };
  /// The NICs that a kernel driver has.
  std::vector<RdmaDeviceName> rdmaDevices();
  /// Errors: UNKNOWN_DEVICE, DEVICE_GONE, NO_MEMORY, IO.
  Result<std::shared_ptr<rdma::RdmaDevice>> openRdmaDevice(const std::string& name);
  /// Errors: UNKNOWN_DEVICE.
  Result<RnicCounters> rdmaCounters(const std::string& name);
  /// As the kernel's memory management has it where mappings change: see RnicMemory. Errors of the
  /// end: BAD_RANGE.
  void invalidateStart(const Memory& memory, uint64_t offset, uint64_t length);
  Status invalidateEnd(const Memory& memory, uint64_t offset, uint64_t length);

  Traffic traffic();
  void resetTraffic();

  /// CPU time of the device thread, nanoseconds; only before stop().
  uint64_t deviceCpuNs();

  /// Ends the device thread. Idempotent.
  void stop();

 private:
  Machine() = default;

  Status plug(const PortConfiguration& port, FunctionKind kind, PciFunction* above);
  Status plugInto(PciFunction* port, const SwitchConfiguration& configuration);
  Status plugInto(PciFunction* port, const NvmeConfiguration& configuration);
  Status plugInto(PciFunction* port, const CardConfiguration& configuration);
  Status plugInto(PciFunction* port, const RnicConfiguration& configuration);
  Result<Rnic*> findRnic(const std::string& name) const;
  Result<Endpoint*> findEndpoint(const std::string& address, bool isRemoved = false) const;
  Status checkOwnership(const Endpoint& endpoint, const IommuDomain& domain) const;
  void run();
  void rest(std::unique_lock<std::mutex>& lock, std::chrono::nanoseconds idleFor);

  uint32_t iovaBits_ = 48;
  MachineLock lock_;
  uint64_t epoch_ = 1;
  uint64_t owners_ = 0;
  Fabric fabric_;
  Router router_{fabric_};
  std::vector<Endpoint*> endpoints_;
  std::vector<Rnic*> rnics_;
  uint16_t controllers_ = 0;

  bool stopping_ = false;
  bool woken_ = false;
  std::condition_variable wake_;
  std::thread thread_;
};

}  // namespace p2pmem::loopback
