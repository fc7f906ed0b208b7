#include "verbs/device.h"

#include <endian.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>

#include "verbs/completion_queue.h"
#include "verbs/protection_domain.h"

namespace p2pmem {

using namespace rdma;

namespace {

constexpr const char* kSysfs = "/sys/class/infiniband/";

/// The library's list of devices, which is valid as long as this is.
class DeviceList {
 public:
  explicit DeviceList(const Ibverbs& verbs) : verbs_(verbs), list_(verbs.get_device_list(&count_)) {
    if (list_ == nullptr) number_ = errno;
  }
  ~DeviceList() {
    if (list_ != nullptr) verbs_.free_device_list(list_);
  }
  DeviceList(const DeviceList&) = delete;
  DeviceList& operator=(const DeviceList&) = delete;

  Status status() const {
    // ENOSYS: a kernel without RDMA, so without devices.
    if (list_ != nullptr || number_ == ENOSYS) return {};
    return verbsError("PERMISSION", number_, "ibv_get_device_list", "cannot list the RDMA devices",
                      "");
  }
  ibv::device* const* begin() const { return list_; }
  ibv::device* const* end() const { return list_ == nullptr ? nullptr : list_ + count_; }

 private:
  const Ibverbs& verbs_;
  int count_ = 0;
  int number_ = 0;
  ibv::device** list_;
};

Error unknownDevice(const std::string& name) {
  const bool hasKernel = access((kSysfs + name).c_str(), F_OK) == 0;
  return {.code = "UNKNOWN_DEVICE",
          .message = hasKernel ? "libibverbs has no driver for the RDMA device " + name
                               : "there is no RDMA device " + name,
          .device = name,
          .hint = hasKernel ? "load ib_uverbs (modprobe ib_uverbs), and install the drivers of "
                              "rdma-core (Debian: apt-get install ibverbs-providers)"
                            : ""};
}

/// ibv_port_attr: codes of InfiniBand 1.4 §14.2.5.6, and of the kernel for later ones (ib_verbs.h).
double gigabitsOf(uint8_t width, uint8_t speed) {
  const double lanes = width == 1    ? 1
                       : width == 2  ? 4
                       : width == 4  ? 8
                       : width == 8  ? 12
                       : width == 16 ? 2
                                     : 0;
  switch (speed) {
    case 1:  // SDR
      return lanes * 2.5;
    case 2:  // DDR
      return lanes * 5;
    case 4:  // QDR
    case 8:  // FDR10
      return lanes * 10;
    case 16:  // FDR
      return lanes * 14.0625;
    case 32:  // EDR
      return lanes * 25;
    case 64:  // HDR
      return lanes * 50;
    case 128:  // NDR
      return lanes * 100;
    default:
      return 0;
  }
}

// Documentation/ABI/stable/sysfs-class-infiniband: what a GID of an Ethernet port is for.
GidEntry::Type gidType(const std::string& device, uint8_t port, uint32_t index) {
  std::ifstream file(kSysfs + device + "/ports/" + std::to_string(port) + "/gid_attrs/types/" +
                     std::to_string(index));
  std::string type;
  std::getline(file, type);
  return type == "RoCE v2" ? GidEntry::Type::rocev2 : GidEntry::Type::rocev1;
}

constexpr uint32_t unsignedOf(int value) { return value < 0 ? 0 : static_cast<uint32_t>(value); }

}  // namespace

Result<std::vector<std::string>> VerbsDevice::list() {
  auto verbs = Ibverbs::open();
  if (!verbs.ok()) return verbs.take();
  const DeviceList devices(*verbs.value());
  if (Status status = devices.status(); !status.ok()) return status.take();
  std::vector<std::string> names;
  for (ibv::device* device : devices) names.emplace_back(verbs.value()->get_device_name(device));
  return names;
}

Result<std::shared_ptr<RdmaDevice>> VerbsDevice::open(const std::string& name) {
  auto found = Ibverbs::open();
  if (!found.ok()) return found.take();
  const Ibverbs& verbs = *found.value();
  const DeviceList devices(verbs);
  if (Status status = devices.status(); !status.ok()) return status.take();
  for (ibv::device* device : devices) {
    if (name != verbs.get_device_name(device)) continue;
    ibv::context* context = verbs.open_device(device);
    if (context == nullptr) {
      const int number = errno;
      const bool isForbidden = number == EACCES || number == EPERM;
      return verbsError(isForbidden ? "PERMISSION" : "IO", number, "ibv_open_device",
                        "cannot open the RDMA device " + name, name,
                        isForbidden ? "its file in /dev/infiniband must be open to this user" : "");
    }
    std::shared_ptr<VerbsDevice> opened(new VerbsDevice(name, verbs, context));
    // Events are taken when there are some, never waited for there.
    fcntl(context->async_fd, F_SETFL, fcntl(context->async_fd, F_GETFL) | O_NONBLOCK);
    return std::shared_ptr<RdmaDevice>(std::move(opened));
  }
  return unknownDevice(name);
}

VerbsDevice::~VerbsDevice() { (void)verbs_.close_device(context_); }

Result<DeviceAttributes> VerbsDevice::attributes() const {
  ibv::device_attr_ex found = {};
  int number = EOPNOTSUPP;
  if (auto* whole = ibv::extended(context_, &ibv::verbs_context::query_device_ex))
    number = verbsErrno(whole->query_device_ex(context_, nullptr, &found, sizeof found));
  if (number == EOPNOTSUPP || number == ENOSYS) {
    found = {};
    number = verbsErrno(verbs_.query_device(context_, &found.orig_attr));
  }
  if (number != 0)
    return verbsError("IO", number, "ibv_query_device_ex",
                      "cannot read the attributes of " + name(), name());
  const ibv::device_attr& plain = found.orig_attr;
  const uint64_t paging = found.odp_caps.general_caps;
  const uint32_t of = found.odp_caps.per_transport_caps.rc_odp_caps;
  return DeviceAttributes{
      .firmware = std::string(plain.fw_ver, strnlen(plain.fw_ver, sizeof plain.fw_ver)),
      .nodeGuid = be64toh(plain.node_guid),
      .vendorId = plain.vendor_id,
      .partId = plain.vendor_part_id,
      .maxRegionBytes = plain.max_mr_size,
      .maxQueuePairs = unsignedOf(plain.max_qp),
      .maxQueueEntries = unsignedOf(plain.max_qp_wr),
      .maxSge = unsignedOf(plain.max_sge),
      .maxCompletionQueues = unsignedOf(plain.max_cq),
      .maxCompletionEntries = unsignedOf(plain.max_cqe),
      .maxRegions = unsignedOf(plain.max_mr),
      .maxReadsAsTarget = unsignedOf(plain.max_qp_rd_atom),
      .maxReadsAsInitiator = unsignedOf(plain.max_qp_init_rd_atom),
      .deviceMemoryBytes = found.max_dm_size,
      .ports = plain.phys_port_cnt,
      .onDemandPaging = {.supported = (paging & ibv::ODP_SUPPORT) != 0,
                         .implicit = (paging & ibv::ODP_SUPPORT_IMPLICIT) != 0,
                         .send = (of & ibv::ODP_SUPPORT_SEND) != 0,
                         .receive = (of & ibv::ODP_SUPPORT_RECV) != 0,
                         .write = (of & ibv::ODP_SUPPORT_WRITE) != 0,
                         .read = (of & ibv::ODP_SUPPORT_READ) != 0}};
}

Result<ibv::port_attr> VerbsDevice::queryPort(uint8_t number) const {
  auto facts = attributes();
  if (!facts.ok()) return facts.take();
  if (number == 0 || number > facts.value().ports)
    return Error{.code = "NO_PORT",
                 .message = name() + " has ports 1 to " + std::to_string(facts.value().ports) +
                            ", no port " + std::to_string(number),
                 .device = name()};
  ibv::port_attr found = {};
  auto* whole = ibv::extended(context_, &ibv::verbs_context::query_port);
  const int problem =
      verbsErrno(whole != nullptr ? whole->query_port(context_, number, &found, sizeof found)
                                  : verbs_.query_port(context_, number, &found));
  if (problem != 0)
    return verbsError("IO", problem, "ibv_query_port",
                      "cannot read port " + std::to_string(number) + " of " + name(), name());
  return found;
}

Result<PortAttributes> VerbsDevice::port(uint8_t number) const {
  auto found = queryPort(number);
  if (!found.ok()) return found.take();
  const ibv::port_attr& port = found.value();
  return PortAttributes{.state = static_cast<uint8_t>(port.state),
                        .ethernet = port.link_layer == ibv::LINK_LAYER_ETHERNET,
                        .mtu = port.active_mtu > 0 ? 128u << port.active_mtu : 0,
                        .lid = port.lid,
                        .gigabits = gigabitsOf(port.active_width, port.active_speed)};
}

Gid VerbsDevice::queryGid(uint8_t port, uint32_t index) const {
  ibv::gid found = {};
  Gid gid{};
  if (verbs_.query_gid(context_, port, static_cast<int>(index), &found) == 0)
    memcpy(gid.data(), found.raw, gid.size());
  return gid;
}

Result<std::vector<GidEntry>> VerbsDevice::gids(uint8_t port) const {
  auto found = queryPort(port);
  if (!found.ok()) return found.take();
  const bool ethernet = found.value().link_layer == ibv::LINK_LAYER_ETHERNET;
  std::vector<GidEntry> list;
  for (uint32_t index = 0; index < unsignedOf(found.value().gid_tbl_len); index++) {
    const Gid gid = queryGid(port, index);
    if (gid == Gid{}) continue;
    const auto type = ethernet ? gidType(name(), port, index) : GidEntry::Type::infiniband;
    list.push_back({.index = index, .gid = gid, .type = type});
  }
  return list;
}

Result<std::shared_ptr<ProtectionDomain>> VerbsDevice::allocateDomain() {
  return VerbsProtectionDomain::create(shared_from_this());
}

Result<std::shared_ptr<CompletionQueue>> VerbsDevice::createCompletionQueue(uint32_t entries,
                                                                            bool channel) {
  return VerbsCompletionQueue::create(shared_from_this(), entries, channel);
}

// ibv_alloc_dm(3) gives a handle, by which the NIC itself can be told of its memory. No address
// goes with it, that VFIO could map for others; as a dma-buf (ibv_dm_export_dmabuf_fd(3), rdma-core
// 62) VFIO's type1 cannot map it either, and iommufd maps VFIO's dma-bufs alone.
Result<std::shared_ptr<Memory>> VerbsDevice::allocateMemory(uint64_t) {
  return Error{.code = "UNSUPPORTED",
               .message = "other devices cannot be let at the memory of " + name(),
               .device = name()};
}

std::optional<AsyncEvent> VerbsDevice::takeEvent() {
  ibv::async_event found = {};
  if (verbs_.get_async_event(context_, &found) != 0) return std::nullopt;
  const int type = found.event_type;
  AsyncEvent event{.type = static_cast<uint32_t>(type)};
  // Of which kind the element is: ibv_get_async_event(3).
  if ((type >= ibv::EVENT_QP_FATAL && type <= ibv::EVENT_PATH_MIG_ERR) ||
      type == ibv::EVENT_QP_LAST_WQE_REACHED)
    event.queuePair = found.element.qp->qp_num;
  if ((type >= ibv::EVENT_PORT_ACTIVE && type <= ibv::EVENT_SM_CHANGE) ||
      type == ibv::EVENT_CLIENT_REREGISTER || type == ibv::EVENT_GID_CHANGE)
    event.port = static_cast<uint8_t>(found.element.port_num);
  // Last: until then the library keeps the queue pair from being destroyed.
  verbs_.ack_async_event(&found);
  return event;
}

}  // namespace p2pmem
