#include "model/load.h"

#include <fmt/format.h>

#include <cstdint>
#include <mutex>
#include <new>

namespace hadal {
namespace {

constexpr std::uint64_t kBlinkBytes = 64u << 20;  // half a second at the 130 MB/s of a slow disk

}  // namespace

Result<std::unique_ptr<Transformer>> load_transformer(const Checkpoint& checkpoint, const Compute& compute,
                                                      ProgressSink progress) {
  const ModelConfig& config = checkpoint.config;
  const TensorSource& tensors = *checkpoint.tensors;
  const auto parameters = static_cast<std::uint64_t>(count_parameters(config).total);
  if (checkpoint.file_bytes < kBlinkBytes) progress = ProgressSink::none();
  Progress bar(std::move(progress), "loading", parameters);
  std::mutex bar_mutex;  // weights are packed by all threads, a bar is drawn by one
  std::uint64_t parameters_done = 0;
  const auto read = [&](const TensorSpec& tensor, std::int64_t first_row, std::int64_t rows, float* out) -> Status {
    HADAL_RETURN_IF_ERROR(read_rows_f32(tensors, tensor, config, first_row, rows, out));
    const std::scoped_lock lock(bar_mutex);
    parameters_done += static_cast<std::uint64_t>(rows * (tensor.elements() / tensor.shape[0]));
    bar.update(parameters_done);
    return Done{};
  };
  try {
    return Transformer::load(
        config,
        {.read = read,
         .scales = [&](const TensorSpec& tensor) { return read_block_scales(tensors, tensor, config); },
         .stored = [&](const TensorSpec& tensor) { return tensors.find(tensor.name); }},
        compute);
  } catch (const std::bad_alloc&) {
    return Error{ErrorKind::out_of_memory, fmt::format("{}: the weights of {} parameters do not fit into memory",
                                                       tensors.subject(), parameters)};
  }
}

}  // namespace hadal
