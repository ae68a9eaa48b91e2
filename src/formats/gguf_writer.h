// Writing GGUF v3: keys and tensor declarations first, then the data in the same order, in pieces.
//
// Memory stays small whatever the size of the model; the file appears whole or not at all (base/atomic_file.h).
// One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/atomic_file.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "formats/tensor_source.h"

namespace hadal {

// Keys and values in the order in which they are added; a key twice is HADAL_CHECK at create().
class GgufKeys {
 public:
  GgufKeys& string(std::string_view key, std::string_view value);
  GgufKeys& u32(std::string_view key, std::uint32_t value);
  GgufKeys& f32(std::string_view key, float value);
  GgufKeys& boolean(std::string_view key, bool value);
  GgufKeys& strings(std::string_view key, std::span<const std::string> values);
  GgufKeys& i32s(std::string_view key, std::span<const std::int32_t> values);
  // A value of another file, as it lies there.
  GgufKeys& copy(std::string_view key, const GgufValue& value);

  std::uint64_t count() const noexcept { return names_.size(); }
  const std::string& bytes() const noexcept { return bytes_; }
  const std::vector<std::string>& names() const noexcept { return names_; }

 private:
  void begin(std::string_view key, GgufType type);
  std::string bytes_;
  std::vector<std::string> names_;
};

class GgufWriter {
 public:
  // Shapes are row-major, 1 to 4 dimensions; the last one is whole blocks (HADAL_CHECK). Names must differ.
  static Result<GgufWriter> create(const std::filesystem::path& path, const GgufKeys& keys,
                                   std::vector<TensorDeclaration> tensors);

  // The next bytes of the declared data; a piece may end anywhere inside a tensor but belongs to one tensor only.
  Status append(std::span<const std::byte> bytes);
  // Fails (HADAL_CHECK) unless all declared bytes were appended.
  Status commit();

 private:
  GgufWriter(AtomicFile file, std::vector<TensorDeclaration> tensors)
      : file_(std::move(file)), tensors_(std::move(tensors)) {}
  Status pad();

  AtomicFile file_;
  std::vector<TensorDeclaration> tensors_;
  std::size_t next_ = 0;
  std::uint64_t left_bytes_ = 0;  // of the tensor before next_
};

}  // namespace hadal
