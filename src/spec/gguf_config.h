// A ModelConfig from the keys and tensors of a GGUF file (MODELS.md 8.3, 8.7).
#pragma once

#include "base/result.h"
#include "formats/gguf.h"
#include "spec/model_config.h"

namespace hadal {

// Architectures deepseek2, qwen2, qwen3 and llama. What the keys leave open the tensors say: biases, head norms, a
// split kv_b, a balancing bias, a tied head. Errors name the key.
Result<ModelConfig> read_gguf_config(const Gguf& gguf);

}  // namespace hadal
