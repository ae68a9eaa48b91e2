// HADAL_CHECK: when it fails, hadal itself is wrong, not the world. On in release
// builds. It prints where and what, then aborts; a wrong file or request must
// never reach it (see result.h).
#pragma once

namespace hadal {

[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace hadal

#define HADAL_CHECK(condition)                                                    \
  do {                                                                            \
    if (!(condition)) [[unlikely]] ::hadal::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)
