#include "loopback/rnic_queue_pair.h"

#include <bit>
#include <cerrno>
#include <cstring>

#include "loopback/rnic.h"
#include "loopback/rnic_context.h"

namespace p2pmem::loopback {

using rdma::QueuePairState;

RnicQueuePair::RnicQueuePair(std::shared_ptr<RnicDomain> domain,
                             std::shared_ptr<RnicCompletionQueue> sends,
                             std::shared_ptr<RnicCompletionQueue> receives,
                             const rdma::QueuePairOptions& options)
    : nic_(domain->context().nic()),
      domain_(std::move(domain)),
      domainNumber_(domain_->number()),
      sends_(std::move(sends)),
      receives_(std::move(receives)),
      sendRing_(options.sends, options.sendSge, options.inlineBytes),
      receiveRing_(options.receives, options.receiveSge, 0),
      requester_(*this),
      responder_(*this) {}

RnicContext& RnicQueuePair::context() const { return domain_->context(); }

Status RnicQueuePair::refuse(int number, const char* message) const {
  return Error{.code = "IO",
               .message = "queue pair " + std::to_string(number_) + ": " + message,
               .number = number,
               .device = nic_.address};
}

Status RnicQueuePair::initialize(const rdma::ConnectionOptions& options) {
  const MachineLock::Guard guard(context().machine().lock());
  if (Status status = nic_.checkPort(options.port); !status.ok()) return status;
  if (isClosed_ || state_ != QueuePairState::reset) return refuse(EINVAL, "it is not in RESET");
  options_ = options;
  state_ = QueuePairState::init;
  return {};
}

Status RnicQueuePair::connect(const rdma::ConnectionOptions& options,
                              const rdma::QueuePairAddress& remote) {
  const MachineLock::Guard guard(context().machine().lock());
  if (Status status = nic_.checkPort(options.port); !status.ok()) return status;
  if (isClosed_ || state_ != QueuePairState::init) return refuse(EINVAL, "it is not in INIT");
  if (options.port != options_.port) return refuse(EINVAL, "it was initialized on another port");
  if (!nic_.isUp(options.port))
    return Error{.code = "PORT_DOWN",
                 .message = "port " + std::to_string(options.port) + " is down",
                 .device = nic_.address,
                 .hint = "its other end is not there, or its link was taken down"};
  if (options.gidIndex >= nic_.gids(options.port).size())
    return Error{.code = "NO_GID",
                 .message = "port " + std::to_string(options.port) + " has no GID " +
                            std::to_string(options.gidIndex),
                 .device = nic_.address};
  if (!std::has_single_bit(options.mtu) || options.mtu < 256 || options.mtu > Rnic::kMtu)
    return refuse(EINVAL, "the MTU is one of 256, 512, 1024, 2048, 4096");
  if (options.readsAsTarget > kMaxReads || options.readsAsInitiator > kMaxReads)
    return refuse(EINVAL, "the device has no more than 16 reads under way");
  // What others may do was said before the first of them could do it.
  const uint32_t remoteAccess = options_.remoteAccess;
  options_ = options;
  options_.remoteAccess = remoteAccess;
  remote_ = remote;
  isRemote_ = nic_.isElsewhere(remote.gid);
  responder_.start(remote.psn);
  requester_.start();
  state_ = QueuePairState::readyToSend;
  return {};
}

Status RnicQueuePair::toError() {
  const MachineLock::Guard guard(context().machine().lock());
  if (isClosed_) return refuse(EINVAL, "it is closed");
  fail();
  return {};
}

void RnicQueuePair::fail() {
  if (isClosed_) return;
  state_ = QueuePairState::error;
  requester_.flush();
  responder_.flush();
}

Status RnicQueuePair::close() {
  const MachineLock::Guard guard(context().machine().lock());
  if (isClosed_) return {};
  isClosed_ = true;
  state_ = QueuePairState::reset;
  nic_.removeQueuePair(*this);
  for (RnicCompletionQueue* queue : {sends_.get(), receives_.get()}) {
    queue->forget(number_);
    queue->users--;
  }
  return {};
}

bool RnicQueuePair::poll() {
  if (isFailed()) {
    const bool posted =
        sendRing_.head() != sendRing_.tail() || receiveRing_.head() != receiveRing_.tail();
    if (posted) fail();
    return posted;
  }
  const bool answered = responder_.poll();
  return requester_.poll() || answered;
}

int RnicQueuePair::postSends(const uint8_t* ring, uint32_t mask, uint32_t first, uint32_t count) {
  const QueuePairState state = state_.load(std::memory_order_relaxed);
  if (state != QueuePairState::readyToSend && state != QueuePairState::error) return -EINVAL;
  const size_t stride = rdma::sendStride(sendRing_.maxSge());
  uint32_t room = sendRing_.room();
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t* at = ring + stride * ((first + i) & mask);
    SendEntry& entry = sendRing_[sendRing_.posted()];
    const auto refuse = [i](int number) { return i > 0 ? static_cast<int>(i) : -number; };
    if (room-- == 0) return refuse(ENOMEM);
    rdma::SendRecord record;
    memcpy(&record, at, sizeof record);
    if (record.opcode > rdma::kRead || record.sgeCount > sendRing_.maxSge()) return refuse(EINVAL);
    rdma::Sge* sges = sendRing_.sges(sendRing_.posted());
    memcpy(sges, at + sizeof record, record.sgeCount * sizeof(rdma::Sge));
    uint64_t length = 0;
    for (uint32_t n = 0; n < record.sgeCount; n++) length += sges[n].length;
    if (record.flags & rdma::kInline) {
      if (length > sendRing_.maxInline() || record.opcode == rdma::kRead) return refuse(EINVAL);
      uint8_t* data = sendRing_.inlineData(sendRing_.posted());
      for (uint32_t n = 0; n < record.sgeCount; n++) {
        // By the CPU, at once: its key is not asked for, and the memory may change after this.
        memcpy(data, reinterpret_cast<const void*>(sges[n].address), sges[n].length);
        data += sges[n].length;
      }
    }
    entry = {.record = record, .length = length};
    sendRing_.post();
  }
  return static_cast<int>(count);
}

int RnicQueuePair::postReceives(const uint8_t* ring, uint32_t mask, uint32_t first,
                                uint32_t count) {
  if (state_.load(std::memory_order_relaxed) == QueuePairState::reset) return -EINVAL;
  const size_t stride = rdma::receiveStride(receiveRing_.maxSge());
  uint32_t room = receiveRing_.room();
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t* at = ring + stride * ((first + i) & mask);
    const auto refuse = [i](int number) { return i > 0 ? static_cast<int>(i) : -number; };
    if (room-- == 0) return refuse(ENOMEM);
    rdma::ReceiveRecord record;
    memcpy(&record, at, sizeof record);
    if (record.sgeCount > receiveRing_.maxSge()) return refuse(EINVAL);
    memcpy(receiveRing_.sges(receiveRing_.posted()), at + sizeof record,
           record.sgeCount * sizeof(rdma::Sge));
    receiveRing_[receiveRing_.posted()] = record;
    receiveRing_.post();
  }
  return static_cast<int>(count);
}

void RnicQueuePair::completeSend(rnic::WcStatus status) {
  const SendEntry& entry = sendRing_[sendRing_.head()];
  const rdma::SendRecord& request = entry.record;
  const bool isRead = request.opcode == rdma::kRead;
  const bool isWrite = request.opcode == rdma::kWrite || request.opcode == rdma::kWriteImm;
  const bool isError = status != rnic::WcStatus::success;
  const bool isSilent = !(request.flags & rdma::kSignaled) && !isError;
  rdma::CompletionRecord record = {};
  record.id = request.id;
  record.status = static_cast<uint32_t>(status);
  record.opcode = isRead ? rnic::kWcRead : isWrite ? rnic::kWcWrite : rnic::kWcSend;
  record.bytes = static_cast<uint32_t>(entry.length);
  record.queuePair = number_;
  nic_.countEntry(rdma::sendStride(sendRing_.maxSge()));
  // Whoever sees the completion finds room for another request.
  sendRing_.release();
  if (!isSilent) push(*sends_, record, isError);
}

void RnicQueuePair::completeReceive(rnic::WcStatus status, const rnic::Packet* packet,
                                    uint64_t bytes) {
  const bool isSend = packet && packet->kind == rnic::Packet::Kind::send;
  const bool hasImmediate = packet && (packet->flags & rnic::Packet::kImmediate);
  const bool isSolicited = packet && (packet->flags & rnic::Packet::kSolicited);
  rdma::CompletionRecord record = {};
  record.id = receiveRing_[receiveRing_.head()].id;
  record.status = static_cast<uint32_t>(status);
  record.opcode = isSend ? rnic::kWcReceive : rnic::kWcReceiveWithImmediate;
  record.bytes = static_cast<uint32_t>(bytes);
  record.immediate = hasImmediate ? packet->immediate : 0;
  record.flags = hasImmediate ? rnic::kWcWithImmediate : 0;
  record.queuePair = number_;
  nic_.countEntry(rdma::receiveStride(receiveRing_.maxSge()));
  receiveRing_.release();
  push(*receives_, record, isSolicited || status != rnic::WcStatus::success);
}

void RnicQueuePair::push(RnicCompletionQueue& queue, const rdma::CompletionRecord& record,
                         bool solicited) {
  const bool wasOverrun = queue.isOverrun();
  bool interrupts = false;
  if (queue.push(record, solicited, interrupts))
    nic_.countCompletion(interrupts);
  else if (!wasOverrun)
    nic_.reportOverrun(queue);
}

Moved RnicQueuePair::transmit(rnic::Packet packet, RnicGather* payload) {
  packet.source = number_;
  packet.destination = remote_.number;
  return nic_.transmit(*this, packet, payload);
}

}  // namespace p2pmem::loopback
