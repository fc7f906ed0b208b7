// What the addon keeps for each environment (main thread, worker threads). No mutable statics.
#pragma once

#include <napi.h>

namespace p2pmem {

struct AddonData {
  Napi::FunctionReference makeError;  // lib/addon.ts: the fields of an Error to a P2pError
  Napi::FunctionReference memory;     // constructors of the classes below
  Napi::FunctionReference region;
  Napi::FunctionReference device;
  Napi::FunctionReference addressSpace;
  Napi::FunctionReference loopbackMachine;
  Napi::FunctionReference ioRing;
  Napi::FunctionReference registrar;
  Napi::FunctionReference rdmaDevice;
  Napi::FunctionReference protectionDomain;
  Napi::FunctionReference memoryRegion;
  Napi::FunctionReference completionQueue;
  Napi::FunctionReference queuePair;

  static AddonData& of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }
};

}  // namespace p2pmem
