// The part of libibverbs.so.1 that native/verbs uses, as its callers' binary interface: so the
// addon builds without the library's headers, and runs where it is installed. The names of fields
// are the library's (infiniband/verbs.h). The layouts hold on 64-bit machines since IBVERBS_1.1;
// what grew since then grew at one end, with a size beside it.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>

namespace p2pmem::ibv {

struct device;
struct srq;
struct ah;
struct mw;
struct context;
struct cq;
struct qp;
struct pd;
struct send_wr;
struct recv_wr;
struct wc;

union gid {
  uint8_t raw[16];
  struct {
    uint64_t subnet_prefix;
    uint64_t interface_id;
  } global;
};
static_assert(sizeof(gid) == 16);

struct device_attr {
  char fw_ver[64];
  uint64_t node_guid;  // big-endian
  uint64_t sys_image_guid;
  uint64_t max_mr_size;
  uint64_t page_size_cap;
  uint32_t vendor_id;
  uint32_t vendor_part_id;
  uint32_t hw_ver;
  int max_qp;
  int max_qp_wr;
  unsigned device_cap_flags;
  int max_sge;
  int max_sge_rd;
  int max_cq;
  int max_cqe;
  int max_mr;
  int max_pd;
  int max_qp_rd_atom;
  int max_ee_rd_atom;
  int max_res_rd_atom;
  int max_qp_init_rd_atom;
  int max_ee_init_rd_atom;
  int atomic_cap;
  int unused[14];
  uint16_t max_pkeys;
  uint8_t local_ca_ack_delay;
  uint8_t phys_port_cnt;
};
static_assert(sizeof(device_attr) == 232);
static_assert(offsetof(device_attr, max_mr_size) == 80);
static_assert(offsetof(device_attr, max_sge) == 120);
static_assert(offsetof(device_attr, phys_port_cnt) == 227);

struct odp_caps {
  uint64_t general_caps;
  struct {
    uint32_t rc_odp_caps;
    uint32_t uc_odp_caps;
    uint32_t ud_odp_caps;
  } per_transport_caps;
};

struct device_attr_ex {
  device_attr orig_attr;
  uint32_t comp_mask;
  struct odp_caps odp_caps;
  uint64_t completion_timestamp_mask;
  uint64_t hca_core_clock;
  uint64_t device_cap_flags_ex;
  uint32_t tso_caps[2];
  uint64_t rss_caps[4];
  uint32_t max_wq_type_rq;
  uint32_t packet_pacing_caps[3];
  uint32_t raw_packet_caps;
  uint32_t tm_caps[5];
  uint16_t cq_mod_caps[2];
  uint64_t max_dm_size;
  uint16_t pci_atomic_caps[3];
  uint32_t xrc_odp_caps;
  uint32_t phys_port_cnt_ex;
};
static_assert(sizeof(device_attr_ex) == 400);
static_assert(offsetof(device_attr_ex, odp_caps) == 240);
static_assert(offsetof(device_attr_ex, max_dm_size) == 376);

struct query_device_ex_input {
  uint32_t comp_mask;
};

enum odp_general_caps : uint64_t { ODP_SUPPORT = 1, ODP_SUPPORT_IMPLICIT = 2 };
enum odp_transport_caps : uint32_t {
  ODP_SUPPORT_SEND = 1,
  ODP_SUPPORT_RECV = 2,
  ODP_SUPPORT_WRITE = 4,
  ODP_SUPPORT_READ = 8,
};

struct port_attr {
  int state;
  int max_mtu;
  int active_mtu;
  int gid_tbl_len;
  uint32_t port_cap_flags;
  uint32_t max_msg_sz;
  uint32_t bad_pkey_cntr;
  uint32_t qkey_viol_cntr;
  uint16_t pkey_tbl_len;
  uint16_t lid;
  uint16_t sm_lid;
  uint8_t lmc;
  uint8_t max_vl_num;
  uint8_t sm_sl;
  uint8_t subnet_timeout;
  uint8_t init_type_reply;
  uint8_t active_width;
  uint8_t active_speed;
  uint8_t phys_state;
  uint8_t link_layer;
  uint8_t flags;
  uint16_t port_cap_flags2;
};
static_assert(sizeof(port_attr) == 52);
static_assert(offsetof(port_attr, link_layer) == 46);

enum port_state { PORT_ACTIVE = 4 };
enum link_layer { LINK_LAYER_ETHERNET = 2 };

struct pd {
  ibv::context* context;
  uint32_t handle;
};

struct mr {
  ibv::context* context;
  ibv::pd* pd;
  void* addr;
  size_t length;
  uint32_t handle;
  uint32_t lkey;
  uint32_t rkey;
};
static_assert(sizeof(mr) == 48);

struct comp_channel {
  ibv::context* context;
  int fd;
  int refcnt;
};

struct cq {
  ibv::context* context;
  comp_channel* channel;
  void* cq_context;
  uint32_t handle;
  int cqe;
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  uint32_t comp_events_completed;
  uint32_t async_events_completed;
};
static_assert(offsetof(cq, cqe) == 28);

struct wc {
  uint64_t wr_id;
  int status;
  int opcode;
  uint32_t vendor_err;
  uint32_t byte_len;
  uint32_t imm_data;  // big-endian
  uint32_t qp_num;
  uint32_t src_qp;
  unsigned wc_flags;
  uint16_t pkey_index;
  uint16_t slid;
  uint8_t sl;
  uint8_t dlid_path_bits;
};
static_assert(sizeof(wc) == 48);

enum wc_flags { WC_WITH_IMM = 2 };

struct qp_cap {
  uint32_t max_send_wr;
  uint32_t max_recv_wr;
  uint32_t max_send_sge;
  uint32_t max_recv_sge;
  uint32_t max_inline_data;
};

struct qp_init_attr {
  void* qp_context;
  cq* send_cq;
  cq* recv_cq;
  ibv::srq* srq;
  qp_cap cap;
  int qp_type;
  int sq_sig_all;
};
static_assert(sizeof(qp_init_attr) == 64);

enum qp_type { QPT_RC = 2 };

struct qp {
  ibv::context* context;
  void* qp_context;
  ibv::pd* pd;
  cq* send_cq;
  cq* recv_cq;
  ibv::srq* srq;
  uint32_t handle;
  uint32_t qp_num;
  int state;
  int qp_type;
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  uint32_t events_completed;
};
static_assert(offsetof(qp, qp_num) == 52);

struct global_route {
  gid dgid;
  uint32_t flow_label;
  uint8_t sgid_index;
  uint8_t hop_limit;
  uint8_t traffic_class;
};

struct ah_attr {
  global_route grh;
  uint16_t dlid;
  uint8_t sl;
  uint8_t src_path_bits;
  uint8_t static_rate;
  uint8_t is_global;
  uint8_t port_num;
};
static_assert(sizeof(ah_attr) == 32);

struct qp_attr {
  int qp_state;
  int cur_qp_state;
  int path_mtu;
  int path_mig_state;
  uint32_t qkey;
  uint32_t rq_psn;
  uint32_t sq_psn;
  uint32_t dest_qp_num;
  unsigned qp_access_flags;
  qp_cap cap;
  ibv::ah_attr ah_attr;
  ibv::ah_attr alt_ah_attr;
  uint16_t pkey_index;
  uint16_t alt_pkey_index;
  uint8_t en_sqd_async_notify;
  uint8_t sq_draining;
  uint8_t max_rd_atomic;
  uint8_t max_dest_rd_atomic;
  uint8_t min_rnr_timer;
  uint8_t port_num;
  uint8_t timeout;
  uint8_t retry_cnt;
  uint8_t rnr_retry;
  uint8_t alt_port_num;
  uint8_t alt_timeout;
  uint32_t rate_limit;
};
static_assert(sizeof(qp_attr) == 144);
static_assert(offsetof(qp_attr, ah_attr) == 56);
static_assert(offsetof(qp_attr, rnr_retry) == 132);

enum qp_attr_mask {
  QP_STATE = 1 << 0,
  QP_ACCESS_FLAGS = 1 << 3,
  QP_PKEY_INDEX = 1 << 4,
  QP_PORT = 1 << 5,
  QP_AV = 1 << 7,
  QP_PATH_MTU = 1 << 8,
  QP_TIMEOUT = 1 << 9,
  QP_RETRY_CNT = 1 << 10,
  QP_RNR_RETRY = 1 << 11,
  QP_RQ_PSN = 1 << 12,
  QP_MAX_QP_RD_ATOMIC = 1 << 13,
  QP_MIN_RNR_TIMER = 1 << 15,
  QP_SQ_PSN = 1 << 16,
  QP_MAX_DEST_RD_ATOMIC = 1 << 17,
  QP_DEST_QPN = 1 << 20,
};

enum qp_state { QPS_RESET, QPS_INIT, QPS_RTR, QPS_RTS, QPS_SQD, QPS_SQE, QPS_ERR };

struct sge {
  uint64_t addr;
  uint32_t length;
  uint32_t lkey;
};
static_assert(sizeof(sge) == 16);

struct send_wr {
  uint64_t wr_id;
  send_wr* next;
  sge* sg_list;
  int num_sge;
  int opcode;
  unsigned send_flags;
  uint32_t imm_data;  // big-endian
  union {
    struct {
      uint64_t remote_addr;
      uint32_t rkey;
    } rdma;
    uint64_t size_of_all[4];
  } wr;
  uint32_t qp_type;
  uint64_t bind_mw_or_tso[6];
};
static_assert(sizeof(send_wr) == 128);
static_assert(offsetof(send_wr, wr) == 40);

struct recv_wr {
  uint64_t wr_id;
  recv_wr* next;
  sge* sg_list;
  int num_sge;
};
static_assert(sizeof(recv_wr) == 32);

struct async_event {
  union {
    ibv::cq* cq;
    ibv::qp* qp;
    int port_num;
  } element;
  int event_type;
};
static_assert(sizeof(async_event) == 16);

enum event_type {
  EVENT_QP_FATAL = 1,
  EVENT_PATH_MIG_ERR = 7,
  EVENT_PORT_ACTIVE = 9,
  EVENT_SM_CHANGE = 13,
  EVENT_QP_LAST_WQE_REACHED = 16,
  EVENT_CLIENT_REREGISTER = 17,
  EVENT_GID_CHANGE = 18,
};

enum access_flags : uint32_t { ACCESS_OPTIONAL_RANGE = 0x3ff00000 };

/// What the library's inline functions call through.
struct context_ops {
  void* unused_query_to_create_cq[11];
  int (*poll_cq)(ibv::cq* cq, int num_entries, ibv::wc* wc);
  int (*req_notify_cq)(ibv::cq* cq, int solicited_only);
  void* unused_cq_event_to_destroy_qp[12];
  int (*post_send)(ibv::qp* qp, ibv::send_wr* wr, ibv::send_wr** bad_wr);
  int (*post_recv)(ibv::qp* qp, ibv::recv_wr* wr, ibv::recv_wr** bad_wr);
  void* unused_create_ah_to_async_event[5];
};
static_assert(sizeof(context_ops) == 32 * sizeof(void*));

struct context {
  ibv::device* device;
  context_ops ops;
  int cmd_fd;
  int async_fd;
  int num_comp_vectors;
  pthread_mutex_t mutex;
  void* abi_compat;
};
static_assert(offsetof(context, async_fd) == 268);

/// Lies around a context whose abi_compat is all ones. It grows at its begin: `sz` says how much of
/// it the library has, counted from its end.
struct verbs_context {
  int (*query_port)(ibv::context* context, uint8_t port_num, ibv::port_attr* port_attr,
                    size_t port_attr_len);
  void* unused_advise_mr_to_priv[26];
  int (*query_device_ex)(ibv::context* context, const query_device_ex_input* input,
                         device_attr_ex* attr, size_t attr_size);
  void* unused_destroy_flow_to_placeholder[11];
  size_t sz;
  ibv::context context;
};
static_assert(offsetof(verbs_context, context) == 40 * sizeof(void*));
static_assert(offsetof(verbs_context, query_device_ex) == 27 * sizeof(void*));

/// The extended part, where it has `Member`; else null.
template <class Member>
verbs_context* extended(context* plain, Member verbs_context::*member) {
  if (plain->abi_compat != reinterpret_cast<void*>(UINTPTR_MAX)) return nullptr;
  auto* whole = reinterpret_cast<verbs_context*>(reinterpret_cast<uint8_t*>(plain) -
                                                 offsetof(verbs_context, context));
  const auto* at = reinterpret_cast<const uint8_t*>(&(whole->*member));
  const auto fromEnd = reinterpret_cast<const uint8_t*>(whole + 1) - at;
  return whole->sz >= static_cast<size_t>(fromEnd) && whole->*member ? whole : nullptr;
}

}  // namespace p2pmem::ibv
