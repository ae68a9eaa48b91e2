// A file that appears whole or not at all.
//
// Bytes are appended to `<path>.part` in the same directory; commit() makes them
// durable and renames over `path`, so a reader sees the old file or the new one,
// also after kill -9 or a power cut. Dropped without commit(), nothing remains.
// A `.part` left by a killed process is taken over; one that a living process is
// writing is an error. A symbolic link stays, and the file it leads to is replaced or made;
// what is no file (a pipe, /dev/null) is written as the bytes come. A replaced file's
// permissions stay, and are the part's from its first byte; its owner becomes who writes. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hadal {

class AtomicFile {
 public:
  // Errors: a directory of this name; links in a circle; no right or room to create the part.
  static Result<AtomicFile> create(const std::filesystem::path& path);

  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;

  // Buffered. A full disk shows here or in commit(): ErrorKind::io; the object then refuses more and drops the part.
  Status append(std::span<const std::byte> bytes);
  Status append(std::string_view text) { return append(std::as_bytes(std::span(text.data(), text.size()))); }
  std::uint64_t size_bytes() const noexcept { return size_bytes_; }

  // Writes, syncs the file, renames it into place, syncs the directory.
  Status commit();

 private:
  AtomicFile(std::filesystem::path path, int fd, bool in_place)
      : path_(std::move(path)), fd_(fd), in_place_(in_place) {}
  Status flush();
  void discard() noexcept;

  std::filesystem::path path_;
  int fd_ = -1;            // -1: committed, failed or moved from
  bool in_place_ = false;  // there is no part
  std::uint64_t size_bytes_ = 0;
  std::vector<std::byte> buffer_;
};

// Makes a rename or a new name in this directory survive a power cut.
Status sync_directory(const std::filesystem::path& directory);

// create, append, commit.
Status write_file_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace hadal
