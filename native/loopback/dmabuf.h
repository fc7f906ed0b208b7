// Parts of BARs that VFIO exports as dma-bufs. The descriptor is a token: the read end of a pipe,
// which importers in this process know by its inode, and which tells when its last copy is closed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/status.h"
#include "core/unique_fd.h"

namespace p2pmem::loopback {

class Endpoint;
class Machine;
struct Bar;

class DmabufExport {
 public:
  DmabufExport(std::weak_ptr<Machine> machine, Endpoint& endpoint, const Bar& bar, uint64_t offset,
               uint64_t length)
      : machine_(std::move(machine)),
        endpoint_(endpoint),
        bar_(bar),
        offset_(offset),
        length_(length) {}

  bool isOf(const Machine& machine) const { return machine_.lock().get() == &machine; }
  /// The machine is gone.
  bool isOfNone() const { return machine_.expired(); }
  const Endpoint& endpoint() const { return endpoint_; }
  const Bar& bar() const { return bar_; }
  /// From the start of the BAR's RAM; bytes.
  uint64_t offset() const { return offset_; }
  uint64_t length() const { return length_; }

  /// With the machine's lock held, both.
  bool isRevoked() const { return revoked_; }
  void revoke() { revoked_ = true; }

 private:
  std::weak_ptr<Machine> machine_;
  Endpoint& endpoint_;
  const Bar& bar_;
  uint64_t offset_;
  uint64_t length_;
  bool revoked_ = false;
};

/// A descriptor for it. Errors: IO.
Result<UniqueFd> publishDmabuf(std::shared_ptr<DmabufExport> exported);

/// Lets go of what is kept of those that nobody has a descriptor of, and of machines that are gone.
/// Publishing another one does the same.
void forgetClosedDmabufs();

/// What `fd` stands for; null where it is no dma-buf of this process's machines.
std::shared_ptr<DmabufExport> findDmabuf(int fd);

}  // namespace p2pmem::loopback
