// A model directory as Hugging Face lays it out: config.json and model.safetensors.
//
// Written to `<directory>.part`, synced and put in place whole: after kill -9 or a
// full disk the previous checkpoint is still there, complete. Weights are bf16, the
// router's correction bias f32; or, when the config says so, e4m3 in blocks with
// X.weight_scale_inv. Memory: one piece of rows. One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>

#include "base/result.h"
#include "spec/tensor_table.h"

namespace hadal {

// Fills out [rows, width] with rows [first_row, first_row + rows) of the tensor. Rows are asked for upwards, once each.
using TensorRows =
    std::function<Status(const TensorSpec& spec, std::int64_t first_row, std::int64_t rows, std::span<float> out)>;

struct CheckpointOptions {
  std::uint64_t max_shard_bytes = std::uint64_t{5} << 30;  // as Hugging Face splits
  // Writes what else belongs to the directory (tokenizer.json, optimiser state) before it is put in place.
  std::function<Status(const std::filesystem::path& part)> more_files;
};

// Optional tensors (MTP copies, a tied lm_head) are left out: they repeat others. A number that is not finite is an
// error that names its tensor, and nothing is put in place.
Status write_checkpoint(const std::filesystem::path& directory, const ModelConfig& config, const TensorRows& rows,
                        const CheckpointOptions& options = {});

}  // namespace hadal
