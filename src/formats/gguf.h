// Reading GGUF: typed keys and named tensors, in one file or several.
//
// Files are mapped and checked whole before the first value is given out: every string, array and tensor lies inside
// its file, no tensor overlaps another, nothing is allocated that the file could not hold. A hostile file gives an
// Error, never a crash (MODELS.md 8.2). What the keys mean is for others to say (spec/gguf_config.h); writing:
// gguf_writer.h. Any thread may read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "formats/tensor_source.h"

namespace hadal {

// Numbers in the file format.
enum class GgufType : std::uint32_t {
  u8 = 0, i8 = 1, u16 = 2, i16 = 3, u32 = 4, i32 = 5, f32 = 6, boolean = 7, string = 8, array = 9, u64 = 10, i64 = 11,
  f64 = 12,
};

// A key's value as it lies in the file.
struct GgufValue {
  GgufType type = GgufType::u8;  // of the elements, for an array
  bool is_array = false;
  std::uint64_t count = 1;           // elements
  std::span<const std::byte> bytes;  // of them; strings keep their lengths in front
};

// How a tensor's values lie.
struct GgufStorage {
  DType dtype = DType::f32;
  bool interleaved = false;  // TensorView::interleaved: hadal's own, numbered 1000 above the rows' type
};
// Its number in the file; nullopt: GGUF has none.
std::optional<std::uint32_t> gguf_type_id(GgufStorage storage);
std::optional<GgufStorage> storage_of_gguf(std::uint32_t type_id);

class Gguf final : public TensorSource {
 public:
  // A file, or one of several ("model-00002-of-00003.gguf"): then all of them. Keys are those of the first.
  static Result<Gguf> open(const std::filesystem::path& path);
  // One whole file in memory, which must outlive the object. For tests and fuzzing.
  static Result<Gguf> parse(std::span<const std::byte> file, std::string_view subject);

  std::optional<TensorView> find(std::string_view name) const override;
  std::vector<std::string> names() const override;
  std::string_view subject() const override { return subject_; }
  std::uint64_t size_bytes() const noexcept;  // of all files

  // Each: nullopt where the key is absent, an error where it holds something else. Numbers convert where they fit.
  Result<std::optional<std::string_view>> string(std::string_view key) const;
  Result<std::optional<std::int64_t>> integer(std::string_view key) const;
  Result<std::optional<double>> number(std::string_view key) const;
  Result<std::optional<bool>> boolean(std::string_view key) const;
  Result<std::optional<std::vector<std::string_view>>> strings(std::string_view key) const;
  Result<std::optional<std::vector<std::int64_t>>> integers(std::string_view key) const;
  // All of them, as they lie, sorted.
  const std::map<std::string_view, GgufValue>& values() const noexcept { return values_; }

 private:
  friend class GgufParser;
  Status add_file(std::span<const std::byte> bytes, std::string_view subject, std::string_view file_name);
  const GgufValue* value(std::string_view key) const;
  Error wrong_type(std::string_view key, std::string_view expected, const GgufValue& found) const;

  std::string subject_;
  std::map<std::string, MappedFile, std::less<>> files_;  // by name; a map's keys stay in place
  std::map<std::string_view, GgufValue> values_;
  std::map<std::string_view, TensorView> tensors_;
};

}  // namespace hadal
