#include "spec/checkpoint_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/atomic_directory.h"
#include "base/atomic_file.h"
#include "base/bf16.h"
#include "base/fp8.h"
#include "formats/safetensors_writer.h"
#include "spec/checkpoint.h"

namespace hadal {
namespace {

constexpr std::int64_t kPieceElements = 1 << 18;  // 1 MiB of floats: small beside any model, large beside a call

enum class Storage { bf16, f32, fp8_block };

Storage storage_of(const TensorSpec& spec, const ModelConfig& config) {
  if (spec.role == TensorRole::router_bias) return Storage::f32;  // chosen by its order: bf16 would merge close experts
  if (spec.quantised_when_fp8 && config.weight_format == WeightFormat::fp8_block) return Storage::fp8_block;
  return Storage::bf16;
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

std::vector<std::int64_t> scale_shape(const TensorSpec& spec, const ModelConfig& config) {
  return {ceil_div(spec.shape[0], config.weight_block_rows), ceil_div(spec.shape[1], config.weight_block_cols)};
}

std::vector<TensorDeclaration> declare(const std::vector<TensorSpec>& specs, const ModelConfig& config) {
  std::vector<TensorDeclaration> declarations;
  for (const TensorSpec& spec : specs) {
    const Storage storage = storage_of(spec, config);
    const DType dtype = storage == Storage::bf16 ? DType::bf16 : storage == Storage::f32 ? DType::f32 : DType::f8_e4m3;
    declarations.push_back({spec.name, dtype, spec.shape});
    if (storage == Storage::fp8_block)
      declarations.push_back({scale_name(spec), DType::f32, scale_shape(spec, config)});
  }
  return declarations;
}

// Converts and appends one tensor after the other; keeps its buffers between them.
class TensorStream {
 public:
  TensorStream(SafetensorsWriter& writer, const ModelConfig& config, const TensorRows& rows)
      : writer_(writer), config_(config), rows_(rows) {}

  Status write(const TensorSpec& spec) {
    const std::int64_t rows = spec.shape[0], width = spec.elements() / rows;
    const Storage storage = storage_of(spec, config_);
    std::int64_t step = std::max<std::int64_t>(1, kPieceElements / width);
    if (storage == Storage::fp8_block) step = ceil_div(step, config_.weight_block_rows) * config_.weight_block_rows;
    std::vector<float> scales;
    for (std::int64_t row = 0; row < rows; row += step) {
      const std::int64_t n = std::min(step, rows - row);
      floats_.resize(static_cast<std::size_t>(n * width));
      HADAL_RETURN_IF_ERROR(rows_(spec, row, n, floats_));
      HADAL_RETURN_IF_ERROR(check_finite(spec, row, width));
      HADAL_RETURN_IF_ERROR(append_piece(storage, n, width, scales));
    }
    if (storage == Storage::fp8_block) return writer_.append(std::as_bytes(std::span(scales)));
    return Done{};
  }

 private:
  Status check_finite(const TensorSpec& spec, std::int64_t first_row, std::int64_t width) const {
    const auto bad = std::find_if(floats_.begin(), floats_.end(), [](float x) { return !std::isfinite(x); });
    if (bad == floats_.end()) return Done{};
    return Error{ErrorKind::invalid, fmt::format("checkpoint: tensor {}: expected finite numbers, found {} in row {}",
                                                 spec.name, *bad, first_row + (bad - floats_.begin()) / width)};
  }

  Status append_piece(Storage storage, std::int64_t rows, std::int64_t width, std::vector<float>& scales) {
    if (storage == Storage::f32) return writer_.append(std::as_bytes(std::span(floats_)));
    if (storage == Storage::bf16) {
      halves_.resize(floats_.size());
      std::transform(floats_.begin(), floats_.end(), halves_.begin(), [](float x) { return to_bf16(x); });
      return writer_.append(std::as_bytes(std::span(halves_)));
    }
    bytes_.resize(floats_.size());
    for (std::int64_t row = 0; row < rows; row += config_.weight_block_rows)
      for (std::int64_t col = 0; col < width; col += config_.weight_block_cols)
        scales.push_back(quantise_block(row, std::min(rows, row + config_.weight_block_rows), col,
                                        std::min(width, col + config_.weight_block_cols), width));
    return writer_.append(std::as_bytes(std::span(bytes_)));
  }

  // The largest magnitude becomes 448 (MODELS.md 11.3); returns the factor back. A block of zeros keeps factor 1.
  float quantise_block(std::int64_t row, std::int64_t row_end, std::int64_t col, std::int64_t col_end,
                       std::int64_t width) {
    float largest = 0;
    for (std::int64_t r = row; r < row_end; ++r)
      for (std::int64_t c = col; c < col_end; ++c)
        largest = std::max(largest, std::abs(floats_[static_cast<std::size_t>(r * width + c)]));
    const float scale = largest > 0 ? std::max(largest / kFp8Max, 0x1p-126f) : 1.0f;
    for (std::int64_t r = row; r < row_end; ++r)
      for (std::int64_t c = col; c < col_end; ++c) {
        const auto i = static_cast<std::size_t>(r * width + c);
        bytes_[i] = to_fp8_e4m3(floats_[i] / scale);
      }
    return scale;
  }

  SafetensorsWriter& writer_;
  const ModelConfig& config_;
  const TensorRows& rows_;
  std::vector<float> floats_;
  std::vector<bf16> halves_;
  std::vector<fp8_e4m3> bytes_;
};

}  // namespace

Status write_checkpoint(const std::filesystem::path& directory, const ModelConfig& config, const TensorRows& rows,
                        const CheckpointOptions& options) {
  std::vector<TensorSpec> specs = tensor_table(config);
  std::erase_if(specs, [](const TensorSpec& spec) { return spec.optional; });
  HADAL_ASSIGN(AtomicDirectory target, AtomicDirectory::create(directory));
  HADAL_RETURN_IF_ERROR(write_file_atomically(target.part() / "config.json", write_model_config(config)));
  HADAL_ASSIGN(SafetensorsWriter writer,
               SafetensorsWriter::create(target.part(), declare(specs, config), options.max_shard_bytes));
  TensorStream stream(writer, config, rows);
  for (const TensorSpec& spec : specs) HADAL_RETURN_IF_ERROR(stream.write(spec));
  HADAL_RETURN_IF_ERROR(writer.commit());
  if (options.more_files) HADAL_RETURN_IF_ERROR(options.more_files(target.part()));
  return target.commit();
}

}  // namespace hadal
