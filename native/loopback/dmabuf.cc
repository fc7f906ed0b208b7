#include "loopback/dmabuf.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mutex>
#include <unordered_map>

namespace p2pmem::loopback {

namespace {

struct Published {
  UniqueFd writeEnd;
  std::shared_ptr<DmabufExport> exported;

  bool isClosed() const {
    pollfd end = {.fd = writeEnd.get(), .events = 0, .revents = 0};
    return poll(&end, 1, 0) == 1 && (end.revents & POLLERR);
  }
};

struct Table {
  std::mutex mutex;
  std::unordered_map<uint64_t, Published> entries;  // by the pipe's inode
};

Table& table() {
  static Table instance;
  return instance;
}

/// Nobody has a descriptor of them, or a machine that they are of. With the table's mutex.
void forgetClosed(Table& table) {
  std::erase_if(table.entries, [](const auto& entry) {
    return entry.second.isClosed() || entry.second.exported->isOfNone();
  });
}

}  // namespace

Result<UniqueFd> publishDmabuf(std::shared_ptr<DmabufExport> exported) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return systemError("IO", "pipe2", "cannot make a descriptor for a dma-buf");
  UniqueFd token(ends[0]);
  UniqueFd writeEnd(ends[1]);
  struct stat facts = {};
  if (fstat(token.get(), &facts) != 0)
    return systemError("IO", "fstat", "cannot examine the descriptor of a dma-buf");
  const std::lock_guard lock(table().mutex);
  forgetClosed(table());
  table().entries[facts.st_ino] = {std::move(writeEnd), std::move(exported)};
  return token;
}

void forgetClosedDmabufs() {
  const std::lock_guard lock(table().mutex);
  forgetClosed(table());
}

std::shared_ptr<DmabufExport> findDmabuf(int fd) {
  struct stat facts = {};
  if (fstat(fd, &facts) != 0 || !S_ISFIFO(facts.st_mode)) return nullptr;
  const std::lock_guard lock(table().mutex);
  const auto found = table().entries.find(facts.st_ino);
  // A FIFO of some file system may have the same inode: only the token has no reader but copies.
  struct stat ours = {};
  if (found == table().entries.end() || fstat(found->second.writeEnd.get(), &ours) != 0 ||
      ours.st_dev != facts.st_dev)
    return nullptr;
  return found->second.exported;
}

}  // namespace p2pmem::loopback
