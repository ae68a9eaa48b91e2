// Reading safetensors: one file, or a directory with shards and an index.
//
// The file is mapped and checked whole before the first tensor is given out: every
// view lies inside the file, none overlaps another, nothing is unaccounted for.
// A hostile file gives an Error, never a crash. Writing: safetensors_writer.h.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "formats/tensor_source.h"

namespace hadal {

inline constexpr std::string_view kSafetensorsFile = "model.safetensors";
inline constexpr std::string_view kSafetensorsIndexFile = "model.safetensors.index.json";

struct SafetensorsHeader {
  struct Entry {
    std::string name;
    TensorView tensor;  // into the bytes that were parsed; `file` is left empty
  };
  std::vector<Entry> entries;  // sorted by name
  std::map<std::string, std::string> metadata;
};

// `file`: the whole file. Errors name `subject`, the tensor, expected and found.
Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file, std::string_view subject);

class Safetensors final : public TensorSource {
 public:
  // A .safetensors file, or a directory: its model.safetensors, otherwise the shards of its index. The index decides
  // which shard holds a tensor; an absent shard, or one without a tensor that the index promises, is an error.
  static Result<Safetensors> open(const std::filesystem::path& path);

  std::optional<TensorView> find(std::string_view name) const override;
  std::vector<std::string> names() const override;
  std::string_view subject() const override { return subject_; }
  // Of the first file.
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
  // All files together, as mapped.
  std::uint64_t size_bytes() const noexcept;

 private:
  static Result<Safetensors> open_shards(const std::filesystem::path& directory);
  Result<SafetensorsHeader> map_file(const std::filesystem::path& path);

  std::string subject_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, MappedFile, std::less<>> files_;  // by name; a map's keys stay in place
  std::map<std::string, TensorView, std::less<>> tensors_;
};

}  // namespace hadal
