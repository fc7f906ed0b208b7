#include "verbs/queue_pair.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace p2pmem {

using namespace rdma;

namespace {

static_assert(sizeof(Sge) == sizeof(ibv::sge) &&
              offsetof(Sge, address) == offsetof(ibv::sge, addr) &&
              offsetof(Sge, length) == offsetof(ibv::sge, length) &&
              offsetof(Sge, lkey) == offsetof(ibv::sge, lkey));

constexpr uint32_t kKnownFlags = kFence | kSignaled | kSolicited | kInline;

template <class Request>
std::vector<Request> circle(uint32_t entries) {
  std::vector<Request> chain(std::bit_ceil(std::max(entries, 1u)));
  for (size_t i = 0; i < chain.size(); i++) chain[i].next = &chain[(i + 1) % chain.size()];
  return chain;
}

// Gather entries as they stand in the ring, which the library only reads.
ibv::sge* entriesBehind(const uint8_t* record, size_t header) {
  return reinterpret_cast<ibv::sge*>(const_cast<uint8_t*>(record + header));
}

/// ibv_mtu: 1 for 256 bytes to 5 for 4096; 0 for what is none.
int mtuCode(uint32_t bytes) {
  if (bytes < 256 || bytes > 4096 || !std::has_single_bit(bytes)) return 0;
  return std::countr_zero(bytes) - 7;
}

/// Posts `count` requests of a circle, from `first` on: how many were taken, or an errno, negated.
template <class Request, class Post>
int postBatch(std::vector<Request>& chain, uint32_t first, uint32_t count, Post post) {
  const auto mask = static_cast<uint32_t>(chain.size()) - 1;
  Request& last = chain[(first + count - 1) & mask];
  Request* const successor = last.next;
  last.next = nullptr;
  Request* refused = nullptr;
  const int number = verbsErrno(post(&chain[first & mask], &refused));
  last.next = successor;
  if (number == 0) return static_cast<int>(count);
  if (refused == nullptr) return -number;
  const uint32_t taken = (static_cast<uint32_t>(refused - chain.data()) - first) & mask;
  return taken > 0 ? static_cast<int>(taken) : -number;
}

}  // namespace

VerbsQueuePair::VerbsQueuePair(std::shared_ptr<VerbsProtectionDomain> domain,
                               std::shared_ptr<VerbsCompletionQueue> sends,
                               std::shared_ptr<VerbsCompletionQueue> receives,
                               const QueuePairOptions& options)
    : domain_(std::move(domain)),
      sends_(std::move(sends)),
      receives_(std::move(receives)),
      options_(options),
      sendChain_(circle<ibv::send_wr>(options.sends)),
      receiveChain_(circle<ibv::recv_wr>(options.receives)) {}

Result<std::shared_ptr<QueuePair>> VerbsQueuePair::create(
    std::shared_ptr<VerbsProtectionDomain> domain, std::shared_ptr<VerbsCompletionQueue> sends,
    std::shared_ptr<VerbsCompletionQueue> receives, const QueuePairOptions& options) {
  auto found = domain->device().attributes();
  if (!found.ok()) return found.take();
  const DeviceAttributes& limits = found.value();
  const std::string& name = domain->device().name();
  const std::pair<const char*, std::pair<uint32_t, uint32_t>> asked[] = {
      {"requests to send", {options.sends, limits.maxQueueEntries}},
      {"requests to receive", {options.receives, limits.maxQueueEntries}},
      {"gather entries", {options.sendSge, limits.maxSge}},
      {"scatter entries", {options.receiveSge, limits.maxSge}}};
  for (const auto& [what, numbers] : asked)
    if (numbers.first > numbers.second)
      return Error{.code = "RDMA_LIMIT",
                   .message = "a queue pair of " + name + " has up to " +
                              std::to_string(numbers.second) + " " + what + ", not " +
                              std::to_string(numbers.first),
                   .device = name};
  std::shared_ptr<VerbsQueuePair> pair(
      new VerbsQueuePair(std::move(domain), std::move(sends), std::move(receives), options));
  ibv::qp_init_attr initial = {};
  initial.send_cq = pair->sends_->handle();
  initial.recv_cq = pair->receives_->handle();
  initial.cap = {.max_send_wr = options.sends,
                 .max_recv_wr = options.receives,
                 .max_send_sge = options.sendSge,
                 .max_recv_sge = options.receiveSge,
                 .max_inline_data = options.inlineBytes};
  initial.qp_type = ibv::QPT_RC;
  pair->qp_ = pair->device().verbs().create_qp(pair->domain_->handle(), &initial);
  if (pair->qp_ == nullptr) {
    const int number = errno;
    const bool isTooMuch = number == ENOMEM || number == EINVAL;
    return verbsError(isTooMuch ? "RDMA_LIMIT" : "IO", number, "ibv_create_qp",
                      "cannot create a queue pair on " + name, name,
                      isTooMuch ? "ask for fewer entries, gather entries or inline bytes" : "");
  }
  pair->number_ = pair->qp_->qp_num;
  pair->maxInline_ = initial.cap.max_inline_data;
  return std::shared_ptr<QueuePair>(std::move(pair));
}

VerbsQueuePair::~VerbsQueuePair() { (void)close(); }

Status VerbsQueuePair::modify(ibv::qp_attr& attributes, int mask, const char* step) {
  const int number = verbsErrno(device().verbs().modify_qp(qp_, &attributes, mask));
  if (number == 0) return {};
  return verbsError("IO", number, "ibv_modify_qp",
                    "cannot bring a queue pair of " + device().name() + " to " + step,
                    device().name());
}

Status VerbsQueuePair::initialize(const ConnectionOptions& options) {
  if (auto port = device().queryPort(options.port); !port.ok()) return port.take();
  ibv::qp_attr attributes = {};
  attributes.qp_state = ibv::QPS_INIT;
  attributes.port_num = options.port;
  attributes.qp_access_flags = options.remoteAccess;
  return modify(attributes,
                ibv::QP_STATE | ibv::QP_PKEY_INDEX | ibv::QP_PORT | ibv::QP_ACCESS_FLAGS, "INIT");
}

Result<ibv::ah_attr> VerbsQueuePair::pathTo(const QueuePairAddress& remote,
                                            const ConnectionOptions& options, bool ethernet) const {
  ibv::ah_attr path = {};
  path.dlid = remote.lid;
  path.sl = options.serviceLevel;
  path.port_num = options.port;
  // InfiniBand reaches its own subnet by the LID; RoCE has nothing but GIDs.
  if (!ethernet && remote.gid == Gid{}) return path;
  if (options.gidIndex > UINT8_MAX || device().queryGid(options.port, options.gidIndex) == Gid{})
    return Error{.code = "NO_GID",
                 .message = "port " + std::to_string(options.port) + " of " + device().name() +
                            " has no GID with index " + std::to_string(options.gidIndex),
                 .device = device().name(),
                 .hint =
                     "give the port's network interface an address, and see `rdma link` and "
                     "/sys/class/infiniband/" +
                     device().name() + "/ports"};
  path.is_global = 1;
  memcpy(path.grh.dgid.raw, remote.gid.data(), remote.gid.size());
  path.grh.sgid_index = static_cast<uint8_t>(options.gidIndex);
  path.grh.hop_limit = options.hopLimit;
  path.grh.traffic_class = options.trafficClass;
  return path;
}

Status VerbsQueuePair::connect(const ConnectionOptions& options, const QueuePairAddress& remote) {
  auto found = device().queryPort(options.port);
  if (!found.ok()) return found.take();
  const ibv::port_attr& port = found.value();
  if (port.state != ibv::PORT_ACTIVE)
    return Error{.code = "PORT_DOWN",
                 .message = "port " + std::to_string(options.port) + " of " + device().name() +
                            " is not active",
                 .device = device().name(),
                 .hint = "see `rdma link`; of RoCE, set the network interface up"};
  const int mtu = mtuCode(options.mtu);
  if (mtu == 0 || mtu > port.active_mtu)
    return Error{.code = "IO",
                 .message = "port " + std::to_string(options.port) + " of " + device().name() +
                            " takes an MTU of 256 to " + std::to_string(128 << port.active_mtu) +
                            " bytes, a power of two, not " + std::to_string(options.mtu),
                 .device = device().name()};
  auto path = pathTo(remote, options, port.link_layer == ibv::LINK_LAYER_ETHERNET);
  if (!path.ok()) return path.take();
  ibv::qp_attr receive = {};
  receive.qp_state = ibv::QPS_RTR;
  receive.ah_attr = path.value();
  receive.path_mtu = mtu;
  receive.dest_qp_num = remote.number;
  receive.rq_psn = remote.psn;
  receive.max_dest_rd_atomic = options.readsAsTarget;
  receive.min_rnr_timer = options.minRnrTimer;
  constexpr int kToReceive = ibv::QP_STATE | ibv::QP_AV | ibv::QP_PATH_MTU | ibv::QP_DEST_QPN |
                             ibv::QP_RQ_PSN | ibv::QP_MAX_DEST_RD_ATOMIC | ibv::QP_MIN_RNR_TIMER;
  if (Status status = modify(receive, kToReceive, "RTR"); !status.ok()) return status;
  ibv::qp_attr send = {};
  send.qp_state = ibv::QPS_RTS;
  send.timeout = options.timeout;
  send.retry_cnt = options.retries;
  send.rnr_retry = options.rnrRetries;
  send.sq_psn = options.psn;
  send.max_rd_atomic = options.readsAsInitiator;
  constexpr int kToSend = ibv::QP_STATE | ibv::QP_TIMEOUT | ibv::QP_RETRY_CNT | ibv::QP_RNR_RETRY |
                          ibv::QP_SQ_PSN | ibv::QP_MAX_QP_RD_ATOMIC;
  return modify(send, kToSend, "RTS");
}

Status VerbsQueuePair::toError() {
  ibv::qp_attr attributes = {};
  attributes.qp_state = ibv::QPS_ERR;
  return modify(attributes, ibv::QP_STATE, "ERR");
}

Result<QueuePairState> VerbsQueuePair::state() const {
  ibv::qp_attr attributes = {};
  ibv::qp_init_attr initial = {};
  const int number =
      verbsErrno(device().verbs().query_qp(qp_, &attributes, ibv::QP_STATE, &initial));
  if (number != 0)
    return verbsError("IO", number, "ibv_query_qp", "cannot read the state of a queue pair",
                      device().name());
  switch (attributes.qp_state) {
    case ibv::QPS_RESET:
      return QueuePairState::reset;
    case ibv::QPS_INIT:
      return QueuePairState::init;
    case ibv::QPS_RTR:
      return QueuePairState::readyToReceive;
    case ibv::QPS_RTS:
      return QueuePairState::readyToSend;
    case ibv::QPS_SQD:
      return QueuePairState::drained;
    case ibv::QPS_SQE:
      return QueuePairState::sendError;
    default:
      return QueuePairState::error;
  }
}

int VerbsQueuePair::postSends(const uint8_t* ring, uint32_t mask, uint32_t first, uint32_t count) {
  if (count == 0) return 0;
  if (mask + 1 != sendChain_.size() || count > mask + 1) return -EINVAL;
  const uint32_t stride = sendStride(options_.sendSge);
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t at = (first + i) & mask;
    const uint8_t* record = ring + size_t{at} * stride;
    const auto& from = *reinterpret_cast<const SendRecord*>(record);
    ibv::send_wr& to = sendChain_[at];
    // Read once: what was checked is what is used.
    const uint32_t entries = from.sgeCount;
    const uint32_t opcode = from.opcode;
    if (entries > options_.sendSge || opcode > kRead)
      return i > 0 ? postSends(ring, mask, first, i) : -EINVAL;
    to.wr_id = from.id;
    to.sg_list = entriesBehind(record, sizeof(SendRecord));
    to.num_sge = static_cast<int>(entries);
    to.opcode = static_cast<int>(opcode);
    to.send_flags = from.flags & kKnownFlags;
    to.imm_data = htonl(from.immediate);
    to.wr.rdma.remote_addr = from.remoteAddress;
    to.wr.rdma.rkey = from.rkey;
  }
  const auto post = device().context()->ops.post_send;
  return postBatch(sendChain_, first, count, [&](ibv::send_wr* batch, ibv::send_wr** refused) {
    return post(qp_, batch, refused);
  });
}

int VerbsQueuePair::postReceives(const uint8_t* ring, uint32_t mask, uint32_t first,
                                 uint32_t count) {
  if (count == 0) return 0;
  if (mask + 1 != receiveChain_.size() || count > mask + 1) return -EINVAL;
  const uint32_t stride = receiveStride(options_.receiveSge);
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t at = (first + i) & mask;
    const uint8_t* record = ring + size_t{at} * stride;
    const auto& from = *reinterpret_cast<const ReceiveRecord*>(record);
    ibv::recv_wr& to = receiveChain_[at];
    const uint32_t entries = from.sgeCount;
    if (entries > options_.receiveSge) return i > 0 ? postReceives(ring, mask, first, i) : -EINVAL;
    to.wr_id = from.id;
    to.sg_list = entriesBehind(record, sizeof(ReceiveRecord));
    to.num_sge = static_cast<int>(entries);
  }
  const auto post = device().context()->ops.post_recv;
  return postBatch(receiveChain_, first, count, [&](ibv::recv_wr* batch, ibv::recv_wr** refused) {
    return post(qp_, batch, refused);
  });
}

Status VerbsQueuePair::close() {
  if (qp_ == nullptr) return {};
  if (const int number = verbsErrno(device().verbs().destroy_qp(qp_)); number != 0)
    return verbsError("IO", number, "ibv_destroy_qp", "cannot destroy a queue pair",
                      device().name());
  qp_ = nullptr;
  return {};
}

}  // namespace p2pmem
