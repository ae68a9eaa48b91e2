#include "base/free_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace hadal {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

// Of a file that holds a number; none: no such file, or a word such as "max".
std::optional<std::uint64_t> number_in(const fs::path& file) {
  std::ifstream in(file);
  std::uint64_t number = 0;
  if (in >> number) return number;
  return std::nullopt;
}

struct GroupFiles {  // their names in the two versions of control groups
  const char *limit, *used, *inactive_files, *active_files;
};
constexpr GroupFiles kVersion2{"memory.max", "memory.current", "inactive_file", "active_file"};
constexpr GroupFiles kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file",
                               "total_active_file"};

std::uint64_t room_in(const fs::path& group, const GroupFiles& files) {
  const auto limit = number_in(group / files.limit), used = number_in(group / files.used);
  if (!limit || !used) return kUnlimited;
  const std::uint64_t cached = number_behind(group / "memory.stat", files.inactive_files) +
                               number_behind(group / "memory.stat", files.active_files);
  const std::uint64_t held = *used - std::min(*used, cached);
  return *limit - std::min(*limit, held);
}

// The least of the group that /proc/self/cgroup names ("0::/a/b", "9:memory:/a/b") and of those above it; one that
// cannot be seen from inside a container is passed over.
std::uint64_t room_in_groups(const fs::path& root) {
  std::uint64_t room = kUnlimited;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool version2 = controllers == ",,";
    if (!version2 && controllers.find(",memory,") == std::string::npos) continue;
    const fs::path top = root / (version2 ? "sys/fs/cgroup" : "sys/fs/cgroup/memory");
    for (fs::path below = fs::path(line.substr(second + 1)).relative_path();; below = below.parent_path()) {
      room = std::min(room, room_in(top / below, version2 ? kVersion2 : kVersion1));
      if (below.empty()) break;
    }
  }
  return room;
}

}  // namespace

std::uint64_t number_behind(const fs::path& file, std::string_view word) {
  std::ifstream in(file);
  std::string found;
  for (std::uint64_t number = 0; in >> found;) {
    if (found == word && in >> number) return number;
    in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

std::uint64_t available_memory_bytes(const fs::path& root) {
  std::uint64_t available = number_behind(root / "proc/meminfo", "MemAvailable:") * 1024;
  if (available == 0)
    available =
        static_cast<std::uint64_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return std::min(available, room_in_groups(root));
}

}  // namespace hadal
