// How the C++ layers report failure: a value, never an exception. Only native/bindings turns an
// Error into a JavaScript exception (P2pError in lib/errors.ts carries the same fields).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>

namespace p2pmem {

struct Error {
  const char* code = "INTERNAL";  // stable, upper case; see lib/errors.ts for the list
  std::string message = {};       // one line, says what was tried
  int number = 0;                 // errno, 0 where the kernel was not asked
  const char* syscall = "";       // "open", "ioctl(VFIO_IOMMU_MAP_DMA)", …
  std::string device = {};        // PCI address, where one is concerned
  std::string hint = {};          // what to do about it
};

/// Success, or an Error. Cheap to return: one pointer.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::make_unique<Error>(std::move(error))) {}  // NOLINT

  bool ok() const { return !error_; }
  const Error& error() const { return *error_; }
  Error take() { return std::move(*error_); }

 private:
  std::unique_ptr<Error> error_;
};

/// A value, or an Error.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}      // NOLINT
  Result(Error error) : value_(std::move(error)) {}  // NOLINT

  bool ok() const { return value_.index() == 0; }
  T& value() { return std::get<0>(value_); }
  const Error& error() const { return std::get<1>(value_); }
  Error take() { return std::move(std::get<1>(value_)); }

 private:
  std::variant<T, Error> value_;
};

/// An Error for a system call that has just failed; reads errno.
Error systemError(const char* code, const char* syscall, std::string message);

}  // namespace p2pmem
