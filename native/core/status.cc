#include "core/status.h"

#include <cerrno>
#include <cstring>

namespace p2pmem {

Error systemError(const char* code, const char* syscall, std::string message) {
  const int number = errno;
  message += ": ";
  message += strerror(number);
  return Error{.code = code, .message = std::move(message), .number = number, .syscall = syscall};
}

}  // namespace p2pmem
