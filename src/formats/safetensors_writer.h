// Writing safetensors: names and shapes first, then the data in the same order, in pieces.
//
// Memory stays small whatever the size of the model. Each file appears whole or not
// at all (base/atomic_file.h); the same input gives the same bytes. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/result.h"
#include "formats/tensor_source.h"

namespace hadal {

// One file.
class SafetensorsFileWriter {
 public:
  // Data begins at a multiple of 64 bytes, in the order of `tensors`. Names must differ (HADAL_CHECK).
  static Result<SafetensorsFileWriter> create(const std::filesystem::path& path,
                                              std::span<const TensorDeclaration> tensors,
                                              const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

  // The next bytes of the declared data; more than was declared is HADAL_CHECK.
  Status append(std::span<const std::byte> bytes);
  // Fails (HADAL_CHECK) unless all declared bytes were appended.
  Status commit();

 private:
  SafetensorsFileWriter(AtomicFile file, std::uint64_t data_bytes) : file_(std::move(file)), left_bytes_(data_bytes) {}
  AtomicFile file_;
  std::uint64_t left_bytes_;
};

// model.safetensors in a directory, or, when the data passes max_shard_bytes, model-00001-of-0000N.safetensors with
// an index. Shards are put in place as they fill and the index last: write a checkpoint into a fresh directory.
class SafetensorsWriter {
 public:
  static Result<SafetensorsWriter> create(const std::filesystem::path& directory,
                                          std::vector<TensorDeclaration> tensors, std::uint64_t max_shard_bytes);

  // The next bytes; a piece may end anywhere inside a tensor but belongs to one tensor only.
  Status append(std::span<const std::byte> bytes);
  Status commit();

 private:
  struct Shard {
    std::size_t first = 0, last = 0;  // tensors [first, last)
    std::uint64_t data_bytes = 0;
  };
  SafetensorsWriter() = default;
  std::filesystem::path shard_path(std::size_t shard) const;
  Status open_next_shard();
  Status write_index() const;

  std::filesystem::path directory_;
  std::vector<TensorDeclaration> tensors_;
  std::vector<Shard> shards_;
  std::size_t next_shard_ = 0;
  std::uint64_t left_bytes_ = 0;  // of the open shard
  std::optional<SafetensorsFileWriter> open_;
};

}  // namespace hadal
