#include "bindings/rdma_values.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

namespace p2pmem::rdma_values {

using namespace rdma;

namespace {

Napi::Object toObject(const Napi::Value& value, const char* what) {
  if (!value.IsObject()) throw Napi::TypeError::New(value.Env(), std::string(what) + " is missing");
  return value.As<Napi::Object>();
}

// Sets `field` to the property of that name, where there is one.
template <class T>
void read(const Napi::Object& object, const char* name, T& field,
          T most = std::numeric_limits<T>::max()) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return;
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= static_cast<double>(most)) || number != std::floor(number))
    throw Napi::TypeError::New(
        object.Env(),
        std::string(name) + " must be a whole number from 0 to " + std::to_string(most));
  field = static_cast<T>(number);
}

constexpr uint32_t kLargestPsn = (1u << 24) - 1;

}  // namespace

Napi::Value fromAttributes(Napi::Env env, const DeviceAttributes& attributes) {
  auto object = Napi::Object::New(env);
  object["firmware"] = attributes.firmware;
  object["nodeGuid"] = Napi::BigInt::New(env, attributes.nodeGuid);
  object["vendorId"] = attributes.vendorId;
  object["partId"] = attributes.partId;
  object["maxRegionBytes"] = Napi::BigInt::New(env, attributes.maxRegionBytes);
  object["maxQueuePairs"] = attributes.maxQueuePairs;
  object["maxQueueEntries"] = attributes.maxQueueEntries;
  object["maxSge"] = attributes.maxSge;
  object["maxCompletionQueues"] = attributes.maxCompletionQueues;
  object["maxCompletionEntries"] = attributes.maxCompletionEntries;
  object["maxRegions"] = attributes.maxRegions;
  object["maxReadsAsTarget"] = attributes.maxReadsAsTarget;
  object["maxReadsAsInitiator"] = attributes.maxReadsAsInitiator;
  object["deviceMemoryBytes"] =
      Napi::Number::New(env, static_cast<double>(attributes.deviceMemoryBytes));
  object["deviceMemoryForPeers"] = attributes.deviceMemoryForPeers;
  object["ports"] = Napi::Number::New(env, attributes.ports);
  object["onDemandPaging"] = env.Null();
  if (const OnDemandPaging& paging = attributes.onDemandPaging; paging.supported) {
    auto abilities = Napi::Object::New(env);
    abilities["implicit"] = paging.implicit;
    abilities["send"] = paging.send;
    abilities["receive"] = paging.receive;
    abilities["write"] = paging.write;
    abilities["read"] = paging.read;
    object["onDemandPaging"] = abilities;
  }
  return object;
}

Napi::Value fromPort(Napi::Env env, const PortAttributes& port) {
  auto object = Napi::Object::New(env);
  object["state"] = Napi::Number::New(env, port.state);
  object["linkLayer"] = port.ethernet ? "ethernet" : "infiniband";
  object["mtu"] = port.mtu;
  object["lid"] = Napi::Number::New(env, port.lid);
  object["gigabits"] =
      port.gigabits > 0 ? Napi::Value(Napi::Number::New(env, port.gigabits)) : env.Null();
  return object;
}

Napi::Value fromGids(Napi::Env env, const std::vector<GidEntry>& gids) {
  auto list = Napi::Array::New(env);
  for (const GidEntry& entry : gids) {
    auto bytes = Napi::Uint8Array::New(env, entry.gid.size());
    memcpy(bytes.Data(), entry.gid.data(), entry.gid.size());
    auto object = Napi::Object::New(env);
    object["index"] = entry.index;
    object["gid"] = bytes;
    object["type"] = entry.type == GidEntry::Type::rocev2   ? "rocev2"
                     : entry.type == GidEntry::Type::rocev1 ? "rocev1"
                                                            : "infiniband";
    list[list.Length()] = object;
  }
  return list;
}

const char* nameOf(QueuePairState state) {
  switch (state) {
    case QueuePairState::reset:
      return "reset";
    case QueuePairState::init:
      return "init";
    case QueuePairState::readyToReceive:
      return "ready-to-receive";
    case QueuePairState::readyToSend:
      return "ready-to-send";
    case QueuePairState::drained:
      return "drained";
    case QueuePairState::sendError:
      return "send-error";
    case QueuePairState::error:
      break;
  }
  return "error";
}

ConnectionOptions toConnectionOptions(const Napi::Value& value) {
  const Napi::Object object = toObject(value, "the options of the connection");
  ConnectionOptions options;
  read(object, "port", options.port);
  read(object, "gidIndex", options.gidIndex);
  read(object, "mtu", options.mtu);
  read(object, "remoteAccess", options.remoteAccess);
  read(object, "psn", options.psn, kLargestPsn);
  read(object, "readsAsTarget", options.readsAsTarget);
  read(object, "readsAsInitiator", options.readsAsInitiator);
  read(object, "timeout", options.timeout, uint8_t{31});
  read(object, "retries", options.retries, uint8_t{7});
  read(object, "rnrRetries", options.rnrRetries, uint8_t{7});
  read(object, "minRnrTimer", options.minRnrTimer, uint8_t{31});
  read(object, "serviceLevel", options.serviceLevel, uint8_t{15});
  read(object, "trafficClass", options.trafficClass);
  read(object, "hopLimit", options.hopLimit);
  return options;
}

QueuePairAddress toQueuePairAddress(const Napi::Value& value) {
  const Napi::Object object = toObject(value, "the address of the other queue pair");
  QueuePairAddress address;
  read(object, "number", address.number, kLargestPsn);  // as many bits
  read(object, "psn", address.psn, kLargestPsn);
  read(object, "lid", address.lid);
  const Napi::Value gid = object.Get("gid");
  if (!gid.IsTypedArray() || gid.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
      gid.As<Napi::TypedArray>().ByteLength() != address.gid.size())
    throw Napi::TypeError::New(object.Env(), "gid must be a Uint8Array of 16 bytes");
  memcpy(address.gid.data(), gid.As<Napi::Uint8Array>().Data(), address.gid.size());
  return address;
}

QueuePairOptions toQueuePairOptions(const Napi::Value& value) {
  // A ring of so many records of the largest stride stays below 4 GiB.
  constexpr uint32_t kMostEntries = 1u << 22;
  constexpr uint32_t kMostSge = 32;
  const Napi::Object object = toObject(value, "the options of the queue pair");
  QueuePairOptions options;
  read(object, "sends", options.sends, kMostEntries);
  read(object, "receives", options.receives, kMostEntries);
  read(object, "sendSge", options.sendSge, kMostSge);
  read(object, "receiveSge", options.receiveSge, kMostSge);
  read(object, "inlineBytes", options.inlineBytes);
  return options;
}

}  // namespace p2pmem::rdma_values
