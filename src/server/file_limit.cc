#include "server/file_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace hadal {
namespace {

// hadal's own, about a dozen (a model's files are mapped, and closed), and clients that are told that they are too
// many.
constexpr rlim_t kOtherFiles = 64;

}  // namespace

int clients_that_fit(int wanted) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return wanted;
  const rlimit raised{.rlim_cur = files.rlim_max, .rlim_max = files.rlim_max};
  if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) files = raised;
  const rlim_t room = files.rlim_cur > kOtherFiles ? files.rlim_cur - kOtherFiles : 1;
  return static_cast<int>(std::min(room, static_cast<rlim_t>(wanted)));
}

}  // namespace hadal
