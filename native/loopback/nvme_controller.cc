#include "loopback/nvme_controller.h"

#include <sys/random.h>

#include <bit>
#include <utility>

#include "loopback/file_media.h"
#include "loopback/memory_media.h"

namespace p2pmem::loopback {

namespace {

constexpr PciIdentity kIdentity{0x1b36, 0x0010, pci::kClassNvme};  // as QEMU's controller

constexpr uint32_t kQueuePairs = 65;  // the admin pair and 64 for I/O; as many MSI-X vectors

// How much one queue is served before it is the next one's turn.
constexpr uint32_t kCommandsPerTurn = 64;
constexpr uint64_t kBytesPerTurn = 1 << 20;

uint64_t pageUp(uint64_t value) {
  return (value + nvme::kPageSize - 1) / nvme::kPageSize * nvme::kPageSize;
}

}  // namespace

NvmeController::NvmeController(const NvmeConfiguration& configuration, uint16_t number,
                               MachineContext context)
    : Endpoint(kIdentity),
      context_(context),
      facts_{.identity = kIdentity,
             .serial = configuration.serial,
             .maxTransferShift = static_cast<uint32_t>(
                 std::countr_zero(configuration.maxTransfer / nvme::kPageSize)),
             .controllerId = number,
             .version = configuration.cmb.legacy ? nvme::kVersion13 : nvme::kVersion14,
             .sgl = configuration.sgl,
             .copy = configuration.copy,
             .shadowDoorbells = configuration.shadowDoorbells},
      doorbellStride_(configuration.doorbellStride),
      requester_(*this, context.router, context.epoch),
      cmb_(configuration.cmb, *this, context.epoch),
      pmr_(configuration.pmr, *this, context.epoch),
      transfer_(requester_, cmb_, configuration.maxTransfer, configuration.sgl),
      queues_(requester_, events_, kQueuePairs, doorbellStride_),
      coalescing_(kQueuePairs),
      io_(namespaces_, transfer_, configuration),
      admin_({.facts = facts_,
              .namespaces = namespaces_,
              .queues = queues_,
              .events = events_,
              .held = held_,
              .transfer = transfer_,
              .cmb = cmb_,
              .io = io_,
              .maxTransfer = configuration.maxTransfer,
              .maxQueueEntries = kMaxQueueEntries}) {
  // BAR 0: registers, doorbells on pages of their own (so that they can be mapped), MSI-X.
  const uint64_t doorbells = pageUp(NvmeQueues::doorbellBytes(kQueuePairs, doorbellStride_));
  const uint64_t table = nvme::kDoorbells + doorbells;
  const uint64_t pba = table + pageUp(kQueuePairs * pci::kMsixEntrySize);
  addMsix(kQueuePairs, table, pba);
  bars[0] = {.size = std::bit_ceil(pba + nvme::kPageSize),
             .memoryOffset = nvme::kDoorbells,
             .memorySize = doorbells};
  for (const Fault& fault : configuration.faults) faults_.add(fault);
}

Result<std::unique_ptr<NvmeController>> NvmeController::create(
    const NvmeConfiguration& configuration, uint16_t number, MachineContext context) {
  std::unique_ptr<NvmeController> controller(new NvmeController(configuration, number, context));
  if (Status status = controller->pmr_.openFile(); !status.ok()) return status.take();
  for (const NamespaceConfiguration& wanted : configuration.namespaces) {
    NvmeNamespace space;
    if (wanted.file.empty()) {
      space.media = std::make_unique<MemoryMedia>(wanted.size);
      (void)getrandom(&space.instance, sizeof(space.instance), 0);
    } else {
      auto media = FileMedia::open(wanted.file, wanted.size);
      if (!media.ok()) return media.take();
      space.media = std::move(media.value());
    }
    space.blockShift = static_cast<uint32_t>(std::countr_zero(wanted.blockSize));
    if (space.blocks() == 0)
      return Error{.code = "BAD_MACHINE",
                   .message = "a namespace is smaller than one block" +
                              (wanted.file.empty() ? "" : ": " + wanted.file)};
    // An OUI with the "locally administered" bit set, since nobody assigned us one (IEEE 802).
    const uint64_t place = uint64_t{number} << 16 | (controller->namespaces_.size() + 1);
    space.uniqueId = 0x7032700000000000 | 0x0200000000000000 | place;
    controller->namespaces_.push_back(std::move(space));
  }
  return controller;
}

Status NvmeController::prepare() {
  if (Status status = Endpoint::prepare(); !status.ok()) return status;
  for (NvmeNamespace& space : namespaces_)
    if (Status status = space.media->prepare(); !status.ok()) return status;
  queues_.setDoorbells(bars[0].memory->data());
  return {};
}

void NvmeController::reset() {
  Endpoint::reset();
  queues_.clear();
  held_.clear();
  events_.clear();
  coalescing_.clear();
  admin_.reset();
  cmb_.reset();
  pmr_.reset();
  cc_ = csts_ = aqa_ = interruptMask_ = 0;
  asq_ = acq_ = 0;
  starting_ = stopping_ = isUnstoppable_ = false;
}

bool NvmeController::poll() {
  if (pmr_.isSwitching()) pmr_.poll();
  if (starting_) {
    start();
    return true;
  }
  if (stopping_) {
    stopping_ = false;
    for (NvmeNamespace& space : namespaces_) (void)space.media->flush();
    csts_ = (csts_ & ~nvme::kCstsShstMask) | nvme::kCstsShstComplete;
    return true;
  }
  // With memory decode off no doorbell arrives, though its page in memory can be written.
  if (!isRunning() || !memoryDecode()) return false;
  bool worked = !held_.empty() && deliverHeld();
  if (coalescing_.isWaiting()) deliverCoalesced();
  // By index: the admin queue, which is first, may add and remove others.
  for (size_t i = 0; i < queues_.active().size() && isRunning(); i++)
    worked |= serve(*queues_.active()[i]);
  deliverEvents();
  return worked;
}

void NvmeController::idle() {
  if (csts_ & nvme::kCstsRdy) queues_.findStrayDoorbells();
}

bool NvmeController::serve(SubmissionQueue& queue) {
  queues_.refresh(queue);
  if (queue.head == queue.tail) return false;
  CompletionQueue& completion = *queue.completion;
  uint32_t served = 0;
  const uint64_t before = io_.statistics().bytes();
  // A full completion queue stops the queue: an entry that the host has not seen is never
  // overwritten (§4.1).
  while (queue.head != queue.tail && !NvmeQueues::isFull(completion) && isRunning()) {
    nvme::Command command;
    if (!queues_.fetch(queue, command)) {
      fail();
      return true;
    }
    served++;
    if (faults_.empty()) [[likely]]
      run(queue, command);
    else
      meetFaults(queue, command);
    if (served == kCommandsPerTurn || io_.statistics().bytes() - before >= kBytesPerTurn ||
        context_.lock.contended())
      break;
  }
  if (completion.posted) interrupt(completion);
  return served > 0;
}

std::optional<nvme::CommandStatus> NvmeController::execute(SubmissionQueue& queue,
                                                           const nvme::Command& command,
                                                           uint32_t& result) {
  transfer_.setCommandPlace(cmb_.placeOf(queue.base));
  if (queue.id != 0) return io_.execute(command, result);
  if (command.opcode() == nvme::kDeleteIoSq && !held_.empty()) {
    // What was fetched from that queue is completed first, as far as there is room (§5.6).
    const auto id = static_cast<uint16_t>(command.dw[10]);
    if (id != 0 && queues_.exists(id)) {
      held_.endQueue(id);
      deliverHeld();
      held_.forgetQueue(id);
    }
  }
  return admin_.execute(command, cc_, result);
}

void NvmeController::run(SubmissionQueue& queue, const nvme::Command& command) {
  uint32_t result = 0;
  const auto status = execute(queue, command, result);
  if (status) complete(queue, command, *status, result);
}

void NvmeController::complete(SubmissionQueue& queue, const nvme::Command& command,
                              nvme::CommandStatus status, uint32_t result) {
  if (status != nvme::kSuccess) events_.logError(queue.id, command, status);
  post(queue, {command.cid(), status, result, static_cast<uint16_t>(queue.head)});
}

void NvmeController::post(SubmissionQueue& queue, const CompletionEntry& entry) {
  if (!queues_.post(queue, entry)) fail();
}

void NvmeController::deliverEvents() {
  CompletionQueue& completion = queues_.adminCompletion();
  while (!NvmeQueues::isFull(completion)) {
    const auto event = events_.take();
    if (!event) return;
    SubmissionQueue& queue = *queues_.active().front();
    post(queue, {event->cid, event->status, event->result, static_cast<uint16_t>(queue.head)});
    interrupt(completion);
  }
}

void NvmeController::interrupt(CompletionQueue& queue) {
  const uint32_t posted = std::exchange(queue.posted, 0);
  if (!queue.interrupts) return;
  // Never for the admin queue (§5.21.1.8), whose interrupt is one for all on its vector.
  const NvmeFeatures::Coalescing wanted = admin_.features().coalescing(queue.vector);
  if (queue.id == 0 || wanted.time.count() == 0)
    coalescing_.clear(queue.vector);
  else if (!coalescing_.add(queue.vector, posted, wanted.entries, wanted.time))
    return;
  signal(queue.vector);
}

void NvmeController::deliverCoalesced() {
  while (const auto vector = coalescing_.takeDue()) signal(*vector);
}

}  // namespace p2pmem::loopback
