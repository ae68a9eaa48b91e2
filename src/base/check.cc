#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace hadal {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "hadal: internal error: %s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace hadal
