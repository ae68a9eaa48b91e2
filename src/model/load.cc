#include "model/load.h"

#include <fmt/format.h>

#include <cstdint>
#include <mutex>
#include <new>

#include "formats/safetensors.h"
#include "spec/checkpoint.h"

namespace hadal {
namespace {

constexpr std::uint64_t kBlinkBytes = 64u << 20;  // half a second at the 130 MB/s of a slow disk

std::uint64_t parameters_read(const ModelConfig& config) {
  return static_cast<std::uint64_t>(count_parameters(config).total);
}

}  // namespace

Result<std::unique_ptr<Transformer>> load_transformer(const std::filesystem::path& directory, const Compute& compute,
                                                      ProgressSink progress) {
  HADAL_ASSIGN(const ModelConfig config, read_model_config(directory));
  HADAL_ASSIGN(const Safetensors weights, Safetensors::open(directory));
  HADAL_RETURN_IF_ERROR(check_checkpoint(weights, config, MtpLayers::leave_out));

  if (weights.size_bytes() < kBlinkBytes) progress = ProgressSink::none();
  Progress bar(std::move(progress), fmt::format("loading {}", directory.filename().string()), parameters_read(config));
  std::mutex bar_mutex;  // weights are packed by all threads, a bar is drawn by one
  std::uint64_t parameters_done = 0;
  const auto read = [&](const TensorSpec& tensor, std::int64_t first_row, std::int64_t rows, float* out) -> Status {
    HADAL_RETURN_IF_ERROR(read_rows_f32(weights, tensor, config, first_row, rows, out));
    const std::scoped_lock lock(bar_mutex);
    parameters_done += static_cast<std::uint64_t>(rows * (tensor.elements() / tensor.shape[0]));
    bar.update(parameters_done);
    return Done{};
  };
  try {
    return Transformer::load(
        config,
        {.read = read, .scales = [&](const TensorSpec& tensor) { return read_block_scales(weights, tensor, config); }},
        compute);
  } catch (const std::bad_alloc&) {
    return Error{ErrorKind::out_of_memory, fmt::format("{}: the weights of {} parameters do not fit into memory",
                                                       directory.string(), parameters_read(config))};
  }
}

}  // namespace hadal
