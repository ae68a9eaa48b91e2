// A model's tensors out of a source: present, of the right shape, as float.
//
// The one place that knows how stored weights become numbers: f32, f16, bf16 and blocks as they
// are; e4m3 times the scale of its block, X.weight_scale_inv [ceil(out/rows),
// ceil(in/cols)]. Reading is const: several threads may read rows at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/result.h"
#include "formats/tensor_source.h"
#include "spec/tensor_table.h"

namespace hadal {

// `<directory>/config.json`.
Result<ModelConfig> read_model_config(const std::filesystem::path& directory);

// The tensor as stored. Absent (an optional one too), of another shape or of a kind that is no weight: an error that
// says which file, which tensor, expected and found.
Result<TensorView> find_tensor(const TensorSource& source, const TensorSpec& spec);

// Its companion's name in fp8-block checkpoints: "X.weight_scale_inv" for "X.weight".
std::string scale_name(const TensorSpec& spec);

// The scales of a tensor that is stored in fp8: element (row, column) was multiplied by the one of its block.
struct BlockScales {
  std::int64_t block_rows = 1, block_cols = 1, cols = 0;  // cols: blocks side by side
  std::vector<float> values;                              // [ceil(rows / block_rows), cols]; empty: no scales

  float at(std::int64_t row, std::int64_t column) const {
    return values[static_cast<std::size_t>(row / block_rows * cols + column / block_cols)];
  }
};

class TensorReader {
 public:
  // Finds the tensor and, if it is stored in fp8, its scales; a NaN, infinite or negative scale is an error.
  // `source` must outlive the reader.
  static Result<TensorReader> open(const TensorSource& source, const TensorSpec& spec, const ModelConfig& config);

  const TensorView& stored() const noexcept { return stored_; }
  std::int64_t rows() const noexcept { return rows_; }    // the first dimension
  std::int64_t width() const noexcept { return width_; }  // elements of a row; 1 for vectors

  const BlockScales& scales() const noexcept { return scales_; }

  // out [rows, width()]: rows [first_row, first_row + rows).
  void read(std::int64_t first_row, std::int64_t rows, float* out) const;

 private:
  TensorReader() = default;
  void apply_scales(std::int64_t row, float* out) const;

  TensorView stored_;
  std::int64_t rows_ = 0, width_ = 0;
  BlockScales scales_;
};

// open and read in one, for small tensors and for loops over rows that are not hot.
Status read_rows_f32(const TensorSource& source, const TensorSpec& spec, const ModelConfig& config,
                     std::int64_t first_row, std::int64_t rows, float* out);

Result<BlockScales> read_block_scales(const TensorSource& source, const TensorSpec& spec, const ModelConfig& config);

// Every tensor that is not optional is there in the right shape, with its scales.
enum class MtpLayers { leave_out, include };
Status check_checkpoint(const TensorSource& source, const ModelConfig& config, MtpLayers mtp);

}  // namespace hadal
