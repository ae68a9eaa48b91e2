// The gradient of a model on a token sequence, as a file: what `hadal gradients` does.
//
// Exact arithmetic. It exists to be compared with independent implementations. One caller.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/thread_pool.h"

namespace hadal {

// Writes d(mean next-token cross-entropy of `tokens`)/d(parameter) for every trained tensor of the model at
// `path` (a directory or a .gguf file), float32, under the published names (MTP layers take no part and are left out).
// Returns the loss.
Result<double> write_gradients(const std::filesystem::path& path, std::span<const TokenId> tokens, ThreadPool& pool,
                               const std::filesystem::path& out);

// The `tokens` tensor of a safetensors file, or a JSON list.
Result<std::vector<TokenId>> read_tokens_file(const std::filesystem::path& path);

}  // namespace hadal
