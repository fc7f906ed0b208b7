// flock(2), which Node.js has not.
#pragma once

#include <napi.h>

namespace p2pmem {

// Takes the lock of an open file; false where another open file has it.
Napi::Value lockFile(const Napi::CallbackInfo& info);

}  // namespace p2pmem
