// The part of the controller that does wrong on demand (docs/machine-file.md, "Faults").
#include "loopback/nvme_controller.h"

namespace p2pmem::loopback {

namespace {

constexpr uint16_t kCidFlip = 0x8000;      // no queue is so deep that both are in use
constexpr uint16_t kWrongSqHead = 0xffff;  // past the end of every queue

}  // namespace

Status NvmeController::inject(const Fault& fault) {
  if (fault.on != Fault::Trigger::now) {
    faults_.add(fault);
    return {};
  }
  switch (fault.effect) {
    case Fault::Effect::fatal:
    case Fault::Effect::remove:
    case Fault::Effect::vanish:
    case Fault::Effect::noDisable:
    case Fault::Effect::noReset:
    case Fault::Effect::error:
    case Fault::Effect::request:
    case Fault::Effect::event:
      commit(fault);
      return {};
    default:
      return Error{.code = "BAD_MACHINE",
                   .message = "that fault is a command's, it cannot happen now",
                   .device = address};
  }
}

void NvmeController::clearFaults() {
  Endpoint::clearFaults();
  faults_.clear();
}

void NvmeController::commit(const Fault& fault) {
  switch (fault.effect) {
    case Fault::Effect::fatal:
      fail();
      break;
    case Fault::Effect::remove:
      remove();
      break;
    case Fault::Effect::vanish:
      hideBars();
      break;
    case Fault::Effect::noDisable:
      isUnstoppable_ = true;
      break;
    case Fault::Effect::noReset:
      refusesReset = true;
      break;
    case Fault::Effect::error:
      signal(DeviceEvent::error);
      break;
    case Fault::Effect::request:
      signal(DeviceEvent::request);
      break;
    default:
      if (admin_.features().wantsEvent(fault.event)) events_.raise(fault.event);
  }
  context_.epoch++;
}

void NvmeController::meetFaults(SubmissionQueue& queue, const nvme::Command& command) {
  if (const auto fault = faults_.match(queue.id == 0, command))
    strike(queue, command, *fault);
  else
    run(queue, command);
}

void NvmeController::strike(SubmissionQueue& queue, const nvme::Command& command,
                            const Fault& fault) {
  using Clock = NvmeHeldCommands::Clock;
  switch (fault.effect) {
    case Fault::Effect::hang:
      held_.hold({.queue = queue.id, .command = command, .abortable = fault.abortable});
      break;
    case Fault::Effect::delay:
      held_.hold({.queue = queue.id,
                  .command = command,
                  .due = Clock::now() + std::chrono::milliseconds(fault.delay)});
      break;
    case Fault::Effect::status:
      complete(queue, command, fault.status, 0);
      break;
    case Fault::Effect::dropDma:
      complete(queue, command, nvme::kSuccess, 0);
      break;
    case Fault::Effect::wrongCid:
    case Fault::Effect::duplicate:
    case Fault::Effect::badSqHead:
    case Fault::Effect::badPhase:
      completeWrongly(queue, command, fault.effect);
      break;
    case Fault::Effect::noDisable:
    case Fault::Effect::noReset:
    case Fault::Effect::error:
    case Fault::Effect::request:
    case Fault::Effect::event:
      commit(fault);
      run(queue, command);
      break;
    default:
      commit(fault);  // and the command is never heard of again
  }
}

void NvmeController::completeWrongly(SubmissionQueue& queue, const nvme::Command& command,
                                     Fault::Effect effect) {
  uint32_t result = 0;
  const auto status = execute(queue, command, result);
  if (!status) return;
  CompletionEntry entry{command.cid(), *status, result, static_cast<uint16_t>(queue.head)};
  if (effect == Fault::Effect::wrongCid) entry.cid ^= kCidFlip;
  if (effect == Fault::Effect::badSqHead) entry.sqHead = kWrongSqHead;
  post(queue, entry);
  // What the host has not seen yet is not overwritten, not even wrongly.
  if (NvmeQueues::isFull(*queue.completion)) return;
  if (effect == Fault::Effect::duplicate) post(queue, entry);
  if (effect == Fault::Effect::badPhase && !queues_.invertPhase(*queue.completion)) fail();
}

bool NvmeController::deliverHeld() {
  bool worked = false;
  // What finds no room goes to the end again, and is not met twice.
  for (size_t left = held_.size(); left > 0; left--) {
    const auto entry = held_.takeDue();
    if (!entry) break;
    SubmissionQueue* queue = queues_.submission(entry->queue);
    if (NvmeQueues::isFull(*queue->completion)) {
      held_.hold(*entry);
      continue;
    }
    worked = true;
    if (entry->ended)
      complete(*queue, entry->command, *entry->ended, 0);
    else
      run(*queue, entry->command);
    interrupt(*queue->completion);
  }
  return worked;
}

}  // namespace p2pmem::loopback
