// An NVMe 1.4 controller: its registers, and the loop that serves its queues.
#pragma once

#include <cstdint>
#include <vector>

#include "loopback/configuration.h"
#include "loopback/endpoint.h"
#include "loopback/machine_context.h"
#include "loopback/nvme_admin.h"
#include "loopback/nvme_coalescing.h"
#include "loopback/nvme_events.h"
#include "loopback/nvme_faults.h"
#include "loopback/nvme_io.h"
#include "loopback/nvme_namespace.h"
#include "loopback/nvme_pmr.h"
#include "loopback/nvme_queues.h"
#include "loopback/nvme_transfer.h"
#include "loopback/requester.h"

namespace p2pmem::loopback {

class NvmeController final : public Endpoint {
 public:
  /// Errors: BAD_MACHINE, IO (a namespace's file).
  static Result<std::unique_ptr<NvmeController>> create(const NvmeConfiguration& configuration,
                                                        uint16_t number, MachineContext context);

  Status prepare() override;
  uint64_t readRegister(uint32_t bar, uint64_t offset, uint32_t width) override;
  void writeRegister(uint32_t bar, uint64_t offset, uint32_t width, uint64_t value) override;
  void reset() override;
  bool isActive() const override {
    return !removed && ((cc_ & nvme::kCcEn) || (csts_ & nvme::kCstsRdy) || starting_ || stopping_ ||
                        pmr_.isSwitching());
  }
  bool poll() override;
  void idle() override;
  Status inject(const Fault& fault) override;
  void clearFaults() override;

 protected:
  void countInterrupt() override { requester_.countInterrupt(); }

 private:
  static constexpr uint32_t kMaxQueueEntries = 4096;

  NvmeController(const NvmeConfiguration& configuration, uint16_t number, MachineContext context);

  uint32_t read32(uint64_t offset) const;
  void write32(uint64_t offset, uint32_t value);
  void writeCc(uint32_t value);
  void start();
  bool serve(SubmissionQueue& queue);
  std::optional<nvme::CommandStatus> execute(SubmissionQueue& queue, const nvme::Command& command,
                                             uint32_t& result);
  void run(SubmissionQueue& queue, const nvme::Command& command);
  void complete(SubmissionQueue& queue, const nvme::Command& command, nvme::CommandStatus status,
                uint32_t result);
  void post(SubmissionQueue& queue, const CompletionEntry& entry);
  void meetFaults(SubmissionQueue& queue, const nvme::Command& command);
  void strike(SubmissionQueue& queue, const nvme::Command& command, const Fault& fault);
  void completeWrongly(SubmissionQueue& queue, const nvme::Command& command, Fault::Effect effect);
  void commit(const Fault& fault);
  bool deliverHeld();
  void deliverEvents();
  void interrupt(CompletionQueue& queue);
  void deliverCoalesced();
  void fail() { csts_ |= nvme::kCstsCfs; }
  bool isRunning() const {
    return (csts_ & (nvme::kCstsRdy | nvme::kCstsCfs)) == nvme::kCstsRdy && !removed;
  }

  MachineContext context_;
  NvmeFacts facts_;
  uint32_t doorbellStride_;
  std::vector<NvmeNamespace> namespaces_;
  Requester requester_;
  NvmeCmb cmb_;
  NvmePmr pmr_;
  NvmeTransfer transfer_;
  NvmeEvents events_;
  NvmeFaults faults_;
  NvmeHeldCommands held_;
  NvmeQueues queues_;
  NvmeCoalescing coalescing_;
  NvmeIo io_;
  NvmeAdmin admin_;

  uint32_t cc_ = 0;
  uint32_t csts_ = 0;
  uint32_t aqa_ = 0;
  uint64_t asq_ = 0;
  uint64_t acq_ = 0;
  uint32_t interruptMask_ = 0;
  bool starting_ = false;       // CC.EN was set, CSTS.RDY is to follow
  bool stopping_ = false;       // CC.SHN was set, CSTS.SHST is to follow
  bool isUnstoppable_ = false;  // by a fault: CC.EN has no effect
};

}  // namespace p2pmem::loopback
