// A file read through the page cache, without a copy. Read-only.
//
// The bytes stay valid and in place while the object (or what it was moved into)
// lives. Whoever truncates a mapped file kills its readers (SIGBUS): hadal replaces
// files by renaming (atomic_file.h) and never cuts one. Any thread may read.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace hadal {

class MappedFile {
 public:
  // Regular files only; an empty file gives an empty span.
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_bytes_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

// Gives back the memory of the whole pages in `bytes`, a part of a MappedFile: touched again they are read again.
void release_pages(std::span<const std::byte> bytes) noexcept;

}  // namespace hadal
