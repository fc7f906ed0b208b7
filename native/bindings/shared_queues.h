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

namespace p2pmem {

struct SharedQueuePair {
  struct Ring {
    std::shared_ptr<Memory> memory;
    uint32_t stride = 0;
    uint32_t mask = 0;  // records, less one; their number is a power of two
  };

  Closable<rdma::QueuePair> pair;
  Ring sends;
  Ring receives;
};

struct SharedCompletionQueue {
  Closable<rdma::CompletionQueue> queue;
  uint32_t entries = 0;
  std::shared_ptr<Memory> records;
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
