// On which processors the calling thread may run.
#pragma once

#include <napi.h>

namespace p2pmem {

Napi::Value threadAffinity(const Napi::CallbackInfo& info);
void setThreadAffinity(const Napi::CallbackInfo& info);

}  // namespace p2pmem
