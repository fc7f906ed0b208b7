// What the environments share of a queue pair and of a completion queue: the object, which the
// environment that made it closes for all, and the memory that work requests and completions lie
// in.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>

#include "bindings/errors.h"
#include "core/closable.h"
#include "core/memory.h"
#include "core/rdma.h"
#include "core/rdma_ring.h"

namespace p2pmem {

/// What lies in memory behind so many bytes of records.
template <class Call>
Call& callBehind(Memory& memory, uint64_t records) {
  return *reinterpret_cast<Call*>(memory.data() + records);
}

struct SharedQueuePair {
  struct Ring {
    std::shared_ptr<Memory> memory;  // the records, and a PostCall behind them
    uint32_t stride = 0;
    uint32_t mask = 0;  // records, less one; their number is a power of two

    rdma::PostCall& call() const { return callBehind<rdma::PostCall>(*memory, records()); }
    uint64_t records() const { return (uint64_t{mask} + 1) * stride; }
  };

  Closable<rdma::QueuePair> pair;
  Ring sends;
  Ring receives;
};

struct SharedCompletionQueue {
  Closable<rdma::CompletionQueue> queue;
  uint32_t entries = 0;
  std::shared_ptr<Memory> records;  // and a PollCall behind them

  rdma::PollCall& call() const {
    return callBehind<rdma::PollCall>(*records, entries * sizeof(rdma::CompletionRecord));
  }
};

/// By which other environments open the same.
using QueuePairTable = WeakTable<SharedQueuePair>;
using CompletionQueueTable = WeakTable<SharedCompletionQueue>;

/// What `call` makes of the object, which nobody closes meanwhile: it runs no JavaScript. Throws
/// GONE, of `what`.
template <class T, class Call>
auto callOpen(Napi::Env env, Closable<T>& closable, const char* what, Call call) {
  {
    const typename Closable<T>::Use use(closable);
    if (use) return call(*use.object());
  }
  throwGone(env, what);
}

}  // namespace p2pmem
