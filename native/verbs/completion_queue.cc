#include "verbs/completion_queue.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace p2pmem {

using namespace rdma;

Result<std::shared_ptr<CompletionQueue>> VerbsCompletionQueue::create(
    std::shared_ptr<VerbsDevice> device, uint32_t entries, bool channel) {
  auto limits = device->attributes();
  if (!limits.ok()) return limits.take();
  if (const uint32_t most = limits.value().maxCompletionEntries; entries == 0 || entries > most)
    return Error{.code = "RDMA_LIMIT",
                 .message = "a completion queue of " + device->name() + " has 1 to " +
                            std::to_string(most) + " entries, not " + std::to_string(entries),
                 .device = device->name()};
  const Ibverbs& verbs = device->verbs();
  // From here on its destructor gives back what has been made.
  std::shared_ptr<VerbsCompletionQueue> queue(new VerbsCompletionQueue(std::move(device)));
  const std::string& name = queue->device_->name();
  ibv::context* context = queue->device_->context();
  if (channel) {
    queue->channel_ = verbs.create_comp_channel(context);
    if (queue->channel_ == nullptr)
      return verbsError("IO", errno, "ibv_create_comp_channel",
                        "cannot create a completion channel on " + name, name);
    const int fd = queue->channel_->fd;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  }
  queue->cq_ = verbs.create_cq(context, static_cast<int>(entries), nullptr, queue->channel_, 0);
  if (queue->cq_ == nullptr) {
    const int number = errno;
    return verbsError(
        number == ENOMEM ? "RDMA_LIMIT" : "IO", number, "ibv_create_cq",
        "cannot create a completion queue of " + std::to_string(entries) + " entries on " + name,
        name);
  }
  queue->entries_ = static_cast<uint32_t>(queue->cq_->cqe);
  return std::shared_ptr<CompletionQueue>(std::move(queue));
}

VerbsCompletionQueue::~VerbsCompletionQueue() {
  if (close().ok() || channel_ == nullptr) return;
  // The queue stays in the kernel until the device is closed, and the library lets go of no channel
  // that is in use: of the two only the descriptor can be given back.
  (void)::close(channel_->fd);
}

int VerbsCompletionQueue::poll(CompletionRecord* records, uint32_t room) {
  constexpr uint32_t kBatch = 32;
  ibv::wc batch[kBatch];
  const auto pollCq = device_->context()->ops.poll_cq;
  uint32_t done = 0;
  while (done < room) {
    const auto wanted = static_cast<int>(std::min(room - done, kBatch));
    const int found = pollCq(cq_, wanted, batch);
    // A queue that overran, say. What came before is told first.
    if (found < 0) return done > 0 ? static_cast<int>(done) : -EIO;
    for (int i = 0; i < found; i++) {
      const ibv::wc& from = batch[i];
      CompletionRecord& to = records[done++];
      to.id = from.wr_id;
      to.status = static_cast<uint32_t>(from.status);
      to.opcode = static_cast<uint32_t>(from.opcode);
      to.bytes = from.byte_len;
      to.immediate = ntohl(from.imm_data);
      to.queuePair = from.qp_num;
      to.flags = from.wc_flags;
      to.vendorError = from.vendor_err;
    }
    if (found < wanted) break;
  }
  return static_cast<int>(done);
}

Status VerbsCompletionQueue::arm(bool solicitedOnly) {
  const int number = verbsErrno(device_->context()->ops.req_notify_cq(cq_, solicitedOnly ? 1 : 0));
  if (number == 0) return {};
  return verbsError("IO", number, "ibv_req_notify_cq", "cannot ask for a completion event",
                    device_->name());
}

void VerbsCompletionQueue::takeEvents() {
  if (channel_ == nullptr) return;
  ibv::cq* cq = nullptr;
  void* context = nullptr;
  unsigned count = 0;
  while (device_->verbs().get_cq_event(channel_, &cq, &context) == 0) count++;
  // The queue cannot be destroyed before they are.
  if (count > 0) device_->verbs().ack_cq_events(cq_, count);
}

Status VerbsCompletionQueue::close() {
  if (cq_ != nullptr) {
    if (const int number = verbsErrno(device_->verbs().destroy_cq(cq_)); number != 0)
      return verbsError(number == EBUSY ? "IN_USE" : "IO", number, "ibv_destroy_cq",
                        number == EBUSY ? "a queue pair completes on this completion queue"
                                        : "cannot destroy a completion queue",
                        device_->name());
    cq_ = nullptr;
  }
  if (channel_ != nullptr) (void)device_->verbs().destroy_comp_channel(channel_);
  channel_ = nullptr;
  return {};
}

}  // namespace p2pmem
