// What VFIO refuses, with the device and what to do about it.
#pragma once

#include <string>

#include "core/status.h"

namespace p2pmem {

constexpr const char* kKernelLogHint = "the kernel's log may say more: dmesg | tail";

/// An Error (IO) for a system call that has just failed; reads errno.
Error refusal(const char* syscall, std::string message, const std::string& device,
              const char* hint = kKernelLogHint);

}  // namespace p2pmem
