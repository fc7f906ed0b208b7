#include "bindings/file_lock.h"

#include <sys/file.h>

#include <cerrno>

#include "bindings/arguments.h"
#include "bindings/errors.h"

namespace p2pmem {

Napi::Value lockFile(const Napi::CallbackInfo& info) {
  const int fd = static_cast<int>(toUnsigned(info, 0));
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return Napi::Boolean::New(info.Env(), true);
  if (errno != EWOULDBLOCK)
    throwError(info.Env(), systemError("IO", "flock", "cannot lock a file"));
  return Napi::Boolean::New(info.Env(), false);
}

}  // namespace p2pmem
