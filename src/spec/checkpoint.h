// A model's tensors out of a source: present, of the right shape, as float.
//
// The one place that knows how stored weights become numbers: f32, f16, bf16 as they
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

class TensorReader {
 public:
  // Finds the tensor and, if it is stored in fp8, its scales; a NaN, infinite or negative scale is an error.
  // `source` must outlive the reader.
  static Result<TensorReader> open(const TensorSource& source, const TensorSpec& spec, const ModelConfig& config);

  const TensorView& stored() const noexcept { return stored_; }
  std::int64_t rows() const noexcept { return rows_; }    // the first dimension
  std::int64_t width() const noexcept { return width_; }  // elements of a row; 1 for vectors

  // out [rows, width()]: rows [first_row, first_row + rows).
  void read(std::int64_t first_row, std::int64_t rows, float* out) const;

 private:
  TensorReader() = default;
  void apply_scales(std::int64_t row, float* out) const;

  TensorView stored_;
  std::int64_t rows_ = 0, width_ = 0;
  std::int64_t block_rows_ = 1, block_cols_ = 1, scale_cols_ = 0;
  std::vector<float> scales_;  // [ceil(rows / block_rows), scale_cols]; empty: not fp8
};

// open and read in one, for small tensors and for loops over rows that are not hot.
Status read_rows_f32(const TensorSource& source, const TensorSpec& spec, const ModelConfig& config,
                     std::int64_t first_row, std::int64_t rows, float* out);

// Every tensor that is not optional is there in the right shape, with its scales.
enum class MtpLayers { leave_out, include };
Status check_checkpoint(const TensorSource& source, const ModelConfig& config, MtpLayers mtp);

}  // namespace hadal
