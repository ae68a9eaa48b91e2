// Memory that a kernel needs while it runs: one growing buffer a thread, kept
// between calls so that the hot loop never allocates. One user at a time per
// thread: a kernel that holds it must not call another that takes it.
#pragma once

#include <cstddef>

#include "base/buffer.h"

namespace hadal {

inline std::byte* thread_scratch(std::size_t bytes) {
  thread_local Buffer<std::byte> buffer;
  // A quarter more than is asked for: calls grow a little with every token.
  return bytes <= buffer.capacity() ? buffer.data() : buffer.ensure(bytes + bytes / 4);
}

}  // namespace hadal
