// How hadal reports that the world is wrong: a file, a peer, a request.
//
// A function that can meet such a case returns Result<T>: a value, or an Error
// whose message is one line naming subject, expected and found. Libraries never
// print, never throw and never exit. When hadal itself is wrong, see check.h.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace hadal {

enum class ErrorKind {
  invalid,        // what was given breaks its format or its limits
  not_found,      // a file, a tensor, a key that must be there is absent
  unsupported,    // well-formed, but hadal does not know this value
  io,             // the operating system refused: disk full, permission, broken pipe
  out_of_memory,  // asked for more than there is
  cancelled,      // the user or the client stopped it
};

struct Error {
  ErrorKind kind;
  std::string message;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  T& value() & { HADAL_CHECK(ok()); return *std::get_if<0>(&state_); }
  const T& value() const& { HADAL_CHECK(ok()); return *std::get_if<0>(&state_); }
  T&& value() && { HADAL_CHECK(ok()); return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& { HADAL_CHECK(!ok()); return *std::get_if<1>(&state_); }
  Error&& error() && { HADAL_CHECK(!ok()); return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Error> state_;
};

// A Result without a value: done, or why not.
struct Done {};
using Status = Result<Done>;

}  // namespace hadal

// Returns the error of `expression` (a Result) from the enclosing function, if it has one.
#define HADAL_RETURN_IF_ERROR(expression)                                          \
  do {                                                                             \
    if (auto hadal_status = (expression); !hadal_status.ok())                      \
      return std::move(hadal_status).error();                                      \
  } while (false)

// `HADAL_ASSIGN(const Config config, read_config(path));`: binds the value, or returns the error.
#define HADAL_ASSIGN(declaration, expression) \
  HADAL_ASSIGN_IMPL(HADAL_JOIN(hadal_result_, __LINE__), declaration, expression)
#define HADAL_ASSIGN_IMPL(temporary, declaration, expression)         \
  auto temporary = (expression);                                      \
  if (!temporary.ok()) return std::move(temporary).error();           \
  declaration = std::move(temporary).value()
#define HADAL_JOIN(a, b) HADAL_JOIN_IMPL(a, b)
#define HADAL_JOIN_IMPL(a, b) a##b
