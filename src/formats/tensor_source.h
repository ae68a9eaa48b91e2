// Named tensors of a model, wherever they lie: the seam behind which file formats differ.
//
// safetensors and GGUF implement it. A view points into a mapping that the source owns:
// it is valid while the source lives. Reading is const and any thread may do it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"

namespace hadal {

struct TensorView {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;   // row-major; [] is a scalar; of block types the last dimension is whole blocks
  std::span<const std::byte> bytes;  // of any alignment; exactly size_bytes(dtype, elements())
  std::string_view file;             // its name without directories, for errors; lives as long as the source
  // Rows lie in tiles (base/interleaved_rows.h); then there are two dimensions or more, the last but one whole tiles.
  bool interleaved = false;

  std::int64_t elements() const;
};

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  // No such tensor is no error here: the caller knows whether it is needed.
  virtual std::optional<TensorView> find(std::string_view name) const = 0;
  // Sorted.
  virtual std::vector<std::string> names() const = 0;
  // What to call the whole in an error that is about no single file.
  virtual std::string_view subject() const = 0;
};

// A tensor that is going to be written.
struct TensorDeclaration {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  bool interleaved = false;

  std::uint64_t data_bytes() const;
};

// "[64, 2048]".
std::string shape_text(std::span<const std::int64_t> shape);

// "Q4_K", "Q4_K x16" for tiles.
std::string storage_name(const TensorView& tensor);

// Rows [first_row, first_row + rows), converted (dtype.h). A row is the last of two dimensions or more; of a vector, a
// value.
void read_rows(const TensorView& tensor, std::int64_t first_row, std::int64_t rows, float* out);
// The whole tensor, converted (dtype.h). For small ones: golden files, token lists, biases.
std::vector<float> floats_of(const TensorView& tensor);
// Integer tensors only (HADAL_CHECK).
std::vector<std::int64_t> integers_of(const TensorView& tensor);

}  // namespace hadal
