// An object that several threads use and one of them closes: not while another is inside of it.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "core/spin_lock.h"
#include "core/status.h"

namespace p2pmem {

template <class T>
class Closable {
 public:
  /// Keeps the object from being closed, and from other uses, for as long as it exists: for one
  /// call. False of an object that is closed.
  class Use {
   public:
    explicit Use(Closable& closable) : guard_(closable.lock_), object_(closable.object_) {}

    explicit operator bool() const { return object_ != nullptr; }
    const std::shared_ptr<T>& object() const { return object_; }

   private:
    const std::lock_guard<SpinLock> guard_;
    const std::shared_ptr<T>& object_;
  };

  explicit Closable(std::shared_ptr<T> object) : object_(std::move(object)) {}

  bool isClosed() { return !Use(*this); }

  /// Nobody is inside of it when this returns, and nobody will be. Idempotent. Errors: those of
  /// T::close(), which leave it open.
  Status close() {
    std::shared_ptr<T> closed;  // what it holds is let go of without the lock
    const std::lock_guard guard(lock_);
    if (!object_) return {};
    if (Status status = object_->close(); !status.ok()) return status;
    closed = std::move(object_);
    return {};
  }

 private:
  SpinLock lock_;
  std::shared_ptr<T> object_;
};

}  // namespace p2pmem
