// libibverbs, opened at run time: the package works without it.
#pragma once

#include <string>

#include "core/status.h"
#include "verbs/ibverbs_abi.h"

namespace p2pmem {

/// Its functions by their names there, without `ibv_`.
struct Ibverbs {
  ibv::device** (*get_device_list)(int* count) = nullptr;
  void (*free_device_list)(ibv::device** list) = nullptr;
  const char* (*get_device_name)(ibv::device* device) = nullptr;
  ibv::context* (*open_device)(ibv::device* device) = nullptr;
  int (*close_device)(ibv::context* context) = nullptr;
  int (*get_async_event)(ibv::context* context, ibv::async_event* event) = nullptr;
  void (*ack_async_event)(ibv::async_event* event) = nullptr;
  int (*query_device)(ibv::context* context, ibv::device_attr* attributes) = nullptr;
  int (*query_port)(ibv::context* context, uint8_t port, ibv::port_attr* attributes) = nullptr;
  int (*query_gid)(ibv::context* context, uint8_t port, int index, ibv::gid* gid) = nullptr;
  ibv::pd* (*alloc_pd)(ibv::context* context) = nullptr;
  int (*dealloc_pd)(ibv::pd* pd) = nullptr;
  ibv::mr* (*reg_mr)(ibv::pd* pd, void* address, size_t length, int access) = nullptr;
  int (*dereg_mr)(ibv::mr* mr) = nullptr;
  ibv::comp_channel* (*create_comp_channel)(ibv::context* context) = nullptr;
  int (*destroy_comp_channel)(ibv::comp_channel* channel) = nullptr;
  ibv::cq* (*create_cq)(ibv::context* context, int entries, void* cqContext,
                        ibv::comp_channel* channel, int vector) = nullptr;
  int (*destroy_cq)(ibv::cq* cq) = nullptr;
  int (*get_cq_event)(ibv::comp_channel* channel, ibv::cq** cq, void** cqContext) = nullptr;
  void (*ack_cq_events)(ibv::cq* cq, unsigned count) = nullptr;
  ibv::qp* (*create_qp)(ibv::pd* pd, ibv::qp_init_attr* attributes) = nullptr;
  int (*modify_qp)(ibv::qp* qp, ibv::qp_attr* attributes, int mask) = nullptr;
  int (*query_qp)(ibv::qp* qp, ibv::qp_attr* attributes, int mask,
                  ibv::qp_init_attr* initial) = nullptr;
  int (*destroy_qp)(ibv::qp* qp) = nullptr;

  // What older libraries lack; null there.
  ibv::mr* (*reg_mr_iova2)(ibv::pd* pd, void* address, size_t length, uint64_t iova,
                           unsigned access) = nullptr;  // rdma-core 28
  ibv::mr* (*reg_dmabuf_mr)(ibv::pd* pd, uint64_t offset, size_t length, uint64_t iova, int fd,
                            int access) = nullptr;  // rdma-core 34

  /// Opened once for the process, and never closed. Errors: NO_VERBS.
  static Result<const Ibverbs*> open();
};

/// An Error for a call of the library that has failed with `number`, an errno.
Error verbsError(const char* code, int number, const char* call, std::string message,
                 const std::string& device, std::string hint = {});

/// The errno of a call that gives it, or -1 and sets it: drivers do either.
int verbsErrno(int result);

}  // namespace p2pmem
