#include "vfio/refusal.h"

namespace p2pmem {

Error refusal(const char* syscall, std::string message, const std::string& device,
              const char* hint) {
  Error error = systemError("IO", syscall, std::move(message));
  error.device = device;
  error.hint = hint;
  return error;
}

}  // namespace p2pmem
