#include "bindings/affinity.h"

#include <sched.h>

#include <cerrno>
#include <cmath>
#include <memory>
#include <string>

#include "bindings/errors.h"

namespace p2pmem {
namespace {

// The kernel refuses a set that is smaller than its own (NR_CPUS is 8192 at most on x86-64).
constexpr int kMostCpus = 8192;

struct FreeCpuSet {
  void operator()(cpu_set_t* set) const { CPU_FREE(set); }
};
using CpuSet = std::unique_ptr<cpu_set_t, FreeCpuSet>;

const size_t kSetBytes = CPU_ALLOC_SIZE(kMostCpus);

CpuSet emptySet() {
  CpuSet set(CPU_ALLOC(kMostCpus));
  CPU_ZERO_S(kSetBytes, set.get());
  return set;
}

}  // namespace

Napi::Value threadAffinity(const Napi::CallbackInfo& info) {
  const CpuSet set = emptySet();
  if (sched_getaffinity(0, kSetBytes, set.get()) != 0)
    throwError(info.Env(), systemError("IO", "sched_getaffinity", "cannot read the CPUs"));
  auto list = Napi::Array::New(info.Env());
  for (int cpu = 0; cpu < kMostCpus; cpu++)
    if (CPU_ISSET_S(cpu, kSetBytes, set.get())) list[list.Length()] = cpu;
  return list;
}

void setThreadAffinity(const Napi::CallbackInfo& info) {
  const CpuSet set = emptySet();
  std::string names;
  const auto list = info[0].As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) {
    const double cpu = list.Get(i).As<Napi::Number>().DoubleValue();
    names += (i == 0 ? "" : ", ") + std::to_string(static_cast<int64_t>(cpu));
    if (cpu >= 0 && cpu < kMostCpus && cpu == std::floor(cpu))
      CPU_SET_S(static_cast<size_t>(cpu), kSetBytes, set.get());
  }
  if (sched_setaffinity(0, kSetBytes, set.get()) != 0)
    throwError(info.Env(), systemError("BAD_ARGUMENT", "sched_setaffinity",
                                       "no thread of this process can run on CPU " + names));
}

}  // namespace p2pmem
