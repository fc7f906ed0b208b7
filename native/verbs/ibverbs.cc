#include "verbs/ibverbs.h"

#include <dlfcn.h>

#include <cerrno>

namespace p2pmem {

namespace {

constexpr const char* kLibrary = "libibverbs.so.1";

struct Loaded {
  Ibverbs functions;
  std::string problem;
};

// dlsym() without a version gives the newest one of a symbol (dlvsym(3)): IBVERBS_1.1 and later.
template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
}

Loaded load() {
  Loaded loaded;
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    loaded.problem = reason == nullptr ? kLibrary : reason;
    return loaded;
  }
  Ibverbs& table = loaded.functions;
  const auto need = [&](const char* name, auto& function) {
    find(library, name, function);
    if (function == nullptr && loaded.problem.empty())
      loaded.problem = std::string(kLibrary) + " has no " + name;
  };
  need("ibv_get_device_list", table.get_device_list);
  need("ibv_free_device_list", table.free_device_list);
  need("ibv_get_device_name", table.get_device_name);
  need("ibv_open_device", table.open_device);
  need("ibv_close_device", table.close_device);
  need("ibv_get_async_event", table.get_async_event);
  need("ibv_ack_async_event", table.ack_async_event);
  need("ibv_query_device", table.query_device);
  need("ibv_query_port", table.query_port);
  need("ibv_query_gid", table.query_gid);
  need("ibv_alloc_pd", table.alloc_pd);
  need("ibv_dealloc_pd", table.dealloc_pd);
  need("ibv_reg_mr", table.reg_mr);
  need("ibv_dereg_mr", table.dereg_mr);
  need("ibv_create_comp_channel", table.create_comp_channel);
  need("ibv_destroy_comp_channel", table.destroy_comp_channel);
  need("ibv_create_cq", table.create_cq);
  need("ibv_destroy_cq", table.destroy_cq);
  need("ibv_get_cq_event", table.get_cq_event);
  need("ibv_ack_cq_events", table.ack_cq_events);
  need("ibv_create_qp", table.create_qp);
  need("ibv_modify_qp", table.modify_qp);
  need("ibv_query_qp", table.query_qp);
  need("ibv_destroy_qp", table.destroy_qp);
  find(library, "ibv_reg_mr_iova2", table.reg_mr_iova2);
  find(library, "ibv_reg_dmabuf_mr", table.reg_dmabuf_mr);
  // Before the first object, that a fork() of Node's may not take away pages that the device writes
  // (before Linux 5.12; later kernels copy pinned pages, and this does nothing there).
  int (*forkInit)() = nullptr;
  find(library, "ibv_fork_init", forkInit);
  if (forkInit != nullptr) (void)forkInit();
  return loaded;
}

}  // namespace

Result<const Ibverbs*> Ibverbs::open() {
  static const Loaded loaded = load();
  if (loaded.problem.empty()) return &loaded.functions;
  return Error{.code = "NO_VERBS",
               .message = "libibverbs cannot be loaded: " + loaded.problem,
               .syscall = "dlopen",
               .hint =
                   "install rdma-core's libraries (Debian: apt-get install libibverbs1 "
                   "ibverbs-providers)"};
}

Error verbsError(const char* code, int number, const char* call, std::string message,
                 const std::string& device, std::string hint) {
  errno = number;
  Error error = systemError(code, call, std::move(message));
  error.device = device;
  error.hint = std::move(hint);
  return error;
}

int verbsErrno(int result) { return result < 0 ? errno : result; }

}  // namespace p2pmem
