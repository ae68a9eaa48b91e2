#include "trainer/work_folder.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "trainer/training_state.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

// That it could be made, where it is not there yet.
Status check_folder(fs::path folder) {
  std::error_code absent;
  while (folder.has_parent_path() && folder != folder.parent_path() && !fs::exists(folder, absent))
    folder = folder.parent_path();
  if (folder.empty() || !fs::exists(folder, absent)) folder = ".";
  if (!fs::is_directory(folder, absent))
    return Error{ErrorKind::io, fmt::format("{}: expected a folder, found a file", folder.string())};
  if (::access(folder.c_str(), W_OK) != 0) return system_error(folder.string(), "cannot write into it", errno);
  return Done{};
}

// It is replaced whole at the end: nothing but a model may be lost then.
Status check_output(const fs::path& output) {
  std::error_code none;
  if (!fs::exists(output, none)) return Done{};
  if (!fs::is_directory(output, none))
    return Error{ErrorKind::invalid, fmt::format("{}: expected a folder as output, found a file", output.string())};
  if (!fs::is_empty(output, none) && !fs::exists(output / "config.json", none))
    return Error{ErrorKind::invalid,
                 fmt::format("{}: expected an empty folder as output, or one with a model to replace, found no "
                             "config.json in it",
                             output.string())};
  return Done{};
}

}  // namespace

Status WorkFolder::check(const Recipe& recipe, Beginning beginning) {
  HADAL_RETURN_IF_ERROR(check_folder(recipe.work));
  HADAL_RETURN_IF_ERROR(check_folder(recipe.output.parent_path()));
  HADAL_RETURN_IF_ERROR(check_output(recipe.output));
  const auto checkpoints = list_checkpoints(recipe.work);
  if (beginning == Beginning::afresh && !checkpoints.empty())
    return Error{
        ErrorKind::invalid,
        fmt::format("{}: expected no checkpoints of an earlier run, found {}: go on with --resume, or remove it",
                    recipe.work.string(), checkpoints.back().filename().string())};
  return Done{};
}

Result<WorkFolder> WorkFolder::open(const Recipe& recipe, Beginning beginning) {
  for (const fs::path& folder : {recipe.work / "checkpoints", recipe.output.parent_path()}) {
    std::error_code error;
    if (!folder.empty()) fs::create_directories(folder, error);
    if (error) return system_error(folder.string(), "create", error.value());
  }
  const fs::path lock = recipe.work / "lock";
  WorkFolder work(std::fopen(lock.c_str(), "ae"));  // e: no program that it starts may inherit the lock
  if (!work.lock_) return system_error(lock.string(), "create", errno);
  if (::flock(::fileno(work.lock_.get()), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return Error{ErrorKind::io, fmt::format("{}: expected no other run that is using this folder, found one under way",
                                            recipe.work.string())};
  HADAL_RETURN_IF_ERROR(recover_checkpoints(recipe.work));
  HADAL_RETURN_IF_ERROR(check(recipe, beginning));
  return work;
}

}  // namespace hadal
