#include "base/atomic_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>

#include <cerrno>
#include <utility>

#include "base/atomic_file.h"
#include "base/file.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

// "runs/a/" and "runs/a" are one name, and its siblings are built by appending to it.
fs::path without_slash(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

fs::path sibling(const fs::path& path, const char* suffix) {
  return path.string() + suffix;
}

Status remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return system_error(path.string(), "cannot remove", error.value());
  return Done{};
}

Status rename_to(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return system_error(to.string(), "cannot put in place", errno);
  return Done{};
}

}  // namespace

AtomicDirectory::AtomicDirectory(fs::path path) : path_(std::move(path)), part_(sibling(path_, ".part")) {}

AtomicDirectory::AtomicDirectory(AtomicDirectory&& other) noexcept
    : path_(std::move(other.path_)), part_(std::move(other.part_)), pending_(std::exchange(other.pending_, false)) {}

Result<AtomicDirectory> AtomicDirectory::create(const fs::path& path) {
  AtomicDirectory directory(without_slash(path));
  HADAL_RETURN_IF_ERROR(recover_directory(directory.path_));
  HADAL_RETURN_IF_ERROR(remove_tree(directory.part_));
  std::error_code error;
  fs::create_directories(directory.part_, error);
  if (error) return system_error(directory.part_.string(), "cannot create", error.value());
  return directory;
}

AtomicDirectory::~AtomicDirectory() {
  std::error_code ignored;
  if (pending_) fs::remove_all(part_, ignored);
}

Status AtomicDirectory::commit() {
  HADAL_CHECK(pending_);
  HADAL_RETURN_IF_ERROR(sync_directory(part_));
  const fs::path parent = path_.parent_path(), old = sibling(path_, ".old");
  std::error_code ignored;
  if (!fs::exists(path_, ignored)) {
    HADAL_RETURN_IF_ERROR(rename_to(part_, path_));
  } else if (::renameat2(AT_FDCWD, part_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) == 0) {
    HADAL_RETURN_IF_ERROR(sync_directory(parent));
    HADAL_RETURN_IF_ERROR(remove_tree(part_));  // now the previous content
  } else {
    HADAL_RETURN_IF_ERROR(remove_tree(old));
    HADAL_RETURN_IF_ERROR(rename_to(path_, old));
    HADAL_RETURN_IF_ERROR(rename_to(part_, path_));
    HADAL_RETURN_IF_ERROR(sync_directory(parent));
    HADAL_RETURN_IF_ERROR(remove_tree(old));
  }
  pending_ = false;
  return sync_directory(parent);
}

Status recover_directory(const fs::path& path) {
  const fs::path name = without_slash(path), old = sibling(name, ".old");
  std::error_code ignored;
  if (fs::exists(name, ignored) || !fs::exists(old, ignored)) return Done{};
  return rename_to(old, name);
}

}  // namespace hadal
