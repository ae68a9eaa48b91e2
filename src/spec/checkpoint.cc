#include "spec/checkpoint.h"

#include <fmt/format.h>

#include <cmath>

#include "base/file.h"

namespace hadal {
namespace {

Error tensor_error(std::string_view file, std::string_view name, std::string_view expected, std::string_view found,
                   ErrorKind kind = ErrorKind::invalid) {
  return Error{kind, fmt::format("{}: tensor {}: expected {}, found {}", file, name, expected, found)};
}

bool is_weight(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f8_e4m3 ||
         is_block(dtype);
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

Result<std::vector<float>> read_scales(const TensorSource& source, const TensorSpec& spec, const ModelConfig& config) {
  const std::string name = scale_name(spec);
  const auto stored = source.find(name);
  if (!stored) return tensor_error(source.subject(), name, "the scales of an fp8 tensor", "none", ErrorKind::not_found);
  const std::vector<std::int64_t> shape = {ceil_div(spec.shape[0], config.weight_block_rows),
                                           ceil_div(spec.shape[1], config.weight_block_cols)};
  if (stored->shape != shape) return tensor_error(stored->file, name, shape_text(shape), shape_text(stored->shape));
  if (!is_floating(stored->dtype))
    return tensor_error(stored->file, name, "floating-point scales", name_of(stored->dtype));
  std::vector<float> scales = floats_of(*stored);
  for (std::size_t i = 0; i < scales.size(); ++i)
    if (!std::isfinite(scales[i]) || scales[i] < 0)
      return tensor_error(stored->file, name, "finite scales, not negative",
                          fmt::format("{} at [{}, {}]", scales[i], static_cast<std::int64_t>(i) / shape[1],
                                      static_cast<std::int64_t>(i) % shape[1]));
  return scales;
}

}  // namespace

Result<ModelConfig> read_model_config(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "config.json";
  HADAL_ASSIGN(const std::string text, read_text_file(path, 16u << 20));
  return parse_model_config(text, path.string());
}

Result<TensorView> find_tensor(const TensorSource& source, const TensorSpec& spec) {
  auto stored = source.find(spec.name);
  if (!stored)
    return tensor_error(source.subject(), spec.name, shape_text(spec.shape), "no such tensor", ErrorKind::not_found);
  if (stored->shape != spec.shape)
    return tensor_error(stored->file, spec.name, shape_text(spec.shape), shape_text(stored->shape));
  if (!is_weight(stored->dtype))
    return tensor_error(stored->file, spec.name, "F32, F16, BF16, F8_E4M3 or a block type", name_of(stored->dtype),
                        ErrorKind::unsupported);
  return *std::move(stored);
}

std::string scale_name(const TensorSpec& spec) {
  return spec.name + "_scale_inv";
}

Result<TensorReader> TensorReader::open(const TensorSource& source, const TensorSpec& spec, const ModelConfig& config) {
  TensorReader reader;
  HADAL_ASSIGN(reader.stored_, find_tensor(source, spec));
  reader.rows_ = spec.shape[0];
  reader.width_ = spec.shape.size() == 2 ? spec.shape[1] : 1;
  if (reader.stored_.dtype != DType::f8_e4m3) return reader;
  if (config.weight_format != WeightFormat::fp8_block || spec.shape.size() != 2)
    return tensor_error(reader.stored_.file, spec.name,
                        config.weight_format == WeightFormat::fp8_block
                            ? "F32, F16 or BF16 for a vector"
                            : "a quantization_config in config.json for fp8",
                        config.weight_format == WeightFormat::fp8_block ? "F8_E4M3" : "none");
  reader.scales_ = {.block_rows = config.weight_block_rows,
                    .block_cols = config.weight_block_cols,
                    .cols = ceil_div(reader.width_, config.weight_block_cols),
                    .values = {}};
  HADAL_ASSIGN(reader.scales_.values, read_scales(source, spec, config));
  return reader;
}

void TensorReader::read(std::int64_t first_row, std::int64_t rows, float* out) const {
  HADAL_CHECK(first_row >= 0 && rows >= 0 && first_row + rows <= rows_);
  read_rows(stored_, first_row, rows, out);
  if (scales_.values.empty()) return;
  for (std::int64_t row = 0; row < rows; ++row) apply_scales(first_row + row, out + row * width_);
}

void TensorReader::apply_scales(std::int64_t row, float* out) const {
  for (std::int64_t begin = 0; begin < width_; begin += scales_.block_cols) {
    const float scale = scales_.at(row, begin);
    for (std::int64_t i = begin; i < std::min(width_, begin + scales_.block_cols); ++i) out[i] *= scale;
  }
}

Status read_rows_f32(const TensorSource& source, const TensorSpec& spec, const ModelConfig& config,
                     std::int64_t first_row, std::int64_t rows, float* out) {
  HADAL_ASSIGN(const TensorReader reader, TensorReader::open(source, spec, config));
  reader.read(first_row, rows, out);
  return Done{};
}

Result<BlockScales> read_block_scales(const TensorSource& source, const TensorSpec& spec, const ModelConfig& config) {
  HADAL_ASSIGN(const TensorReader reader, TensorReader::open(source, spec, config));
  return reader.scales();
}

Status check_checkpoint(const TensorSource& source, const ModelConfig& config, MtpLayers mtp) {
  for (const TensorSpec& spec : tensor_table(config)) {
    if (spec.layer >= config.num_hidden_layers && mtp == MtpLayers::leave_out) continue;
    if (spec.optional && !source.find(spec.name)) continue;
    if (auto reader = TensorReader::open(source, spec, config); !reader.ok()) return std::move(reader).error();
  }
  return Done{};
}

}  // namespace hadal
