// Values of lib/rdma-addon.ts, from and to what native/core/rdma.h has for them.
#pragma once

#include <napi.h>

#include "core/rdma.h"

namespace p2pmem::rdma_values {

Napi::Value fromAttributes(Napi::Env env, const rdma::DeviceAttributes& attributes);
Napi::Value fromPort(Napi::Env env, const rdma::PortAttributes& port);
Napi::Value fromGids(Napi::Env env, const std::vector<rdma::GidEntry>& gids);
const char* nameOf(rdma::QueuePairState state);

/// These throw a TypeError for what is not of the right kind or too large.
rdma::ConnectionOptions toConnectionOptions(const Napi::Value& value);
rdma::QueuePairAddress toQueuePairAddress(const Napi::Value& value);
rdma::QueuePairOptions toQueuePairOptions(const Napi::Value& value);

}  // namespace p2pmem::rdma_values
