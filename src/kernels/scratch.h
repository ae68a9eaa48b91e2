// Memory that a kernel needs while it runs: one growing buffer a thread, kept
// between calls so that the hot loop never allocates. One user at a time per
// thread: a kernel that holds it must not call another that takes it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace hadal {

inline std::byte* thread_scratch(std::size_t bytes) {
  struct Free {
    void operator()(std::byte* p) const noexcept { std::free(p); }
  };
  thread_local std::unique_ptr<std::byte, Free> buffer;
  thread_local std::size_t capacity = 0;
  if (bytes > capacity) {
    buffer.reset();
    capacity = 0;  // what follows may throw
    const std::size_t wanted = (bytes + bytes / 4 + 4095) / 4096 * 4096;
    buffer.reset(static_cast<std::byte*>(std::aligned_alloc(64, wanted)));
    if (!buffer) throw std::bad_alloc();
    capacity = wanted;
  }
  return buffer.get();
}

}  // namespace hadal
