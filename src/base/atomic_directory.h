// A directory that is replaced whole: readers find the old one or the new one.
//
// Files are written into `<path>.part`; commit() puts it in place. Where the file
// system can exchange two names (ext4, xfs, btrfs, tmpfs) there is no moment without
// `path`; elsewhere the old directory waits as `<path>.old` for the time of two
// renames, and recover_directory() brings it back after a kill in between.
// One writer at a time.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace hadal {

class AtomicDirectory {
 public:
  // An empty `<path>.part`; what a killed writer left there is removed.
  static Result<AtomicDirectory> create(const std::filesystem::path& path);

  ~AtomicDirectory();  // without commit(): removes the part
  AtomicDirectory(AtomicDirectory&& other) noexcept;
  AtomicDirectory& operator=(AtomicDirectory&&) = delete;

  // Where to write. Files must be synced by whoever writes them (AtomicFile does).
  const std::filesystem::path& part() const noexcept { return part_; }
  Status commit();

 private:
  explicit AtomicDirectory(std::filesystem::path path);
  std::filesystem::path path_, part_;
  bool pending_ = true;
};

// Call before looking for `path`: if only `<path>.old` is there, a writer was killed between its two renames.
Status recover_directory(const std::filesystem::path& path);

}  // namespace hadal
