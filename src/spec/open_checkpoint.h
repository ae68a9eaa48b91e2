// A model's files, whatever their format: what it is, and its tensors by their published names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "base/result.h"
#include "formats/tensor_source.h"
#include "spec/checkpoint.h"
#include "spec/model_config.h"

namespace hadal {

struct Checkpoint {
  ModelConfig config;
  std::unique_ptr<TensorSource> tensors;  // mapped; views of it live as long as it does
  std::uint64_t file_bytes = 0;           // of the weight files
};

// A directory with config.json and safetensors, or a .gguf file (one of several opens all). Every tensor that is needed
// is there in the right shape and of a kind that hadal reads; a GGUF file has none whose meaning is unknown.
Result<Checkpoint> open_checkpoint(const std::filesystem::path& path);

// What it is alone, without its tensors.
Result<ModelConfig> read_checkpoint_config(const std::filesystem::path& path);

bool is_gguf(const std::filesystem::path& path);  // by its name

}  // namespace hadal
