// A model as a GGUF file has it: keys, tensors, and what type each gets (MODELS.md 8.3, 8.7; gguf_config.h reads it
// back). Writing the data is the caller's: quantize has values, synth has none.
#pragma once

#include <vector>

#include "formats/gguf_writer.h"
#include "spec/tensor_table.h"

namespace hadal {

// One tensor of the file, and where its values come from.
struct GgufTensor {
  TensorDeclaration declaration;
  enum class Content {
    as_published,  // the tensor itself
    experts,       // those of all routed experts, one behind the other
    keys,          // W_uk^T of every head [H, C, N], out of kv_b_proj
    values,        // W_uv of every head [H, V, C], out of kv_b_proj
    divisors,      // rope_freqs: of the frequencies, from the config
  } content = Content::as_published;
  std::vector<TensorSpec> sources;  // in order
  bool permuted = false;            // rows are in the file's order: published_row()
};

// Every tensor that the file of `type` holds; multi-token prediction is left out. Matrices get `type`, or what stands
// in for it where rows are no whole blocks: q4_k q5_0, q5_k q5_1, q6_k q8_0, q2_k and q3_k q4_0, and f16 where a row is
// not even a multiple of 32. The head, or the embedding that serves as one, gets q6_k instead of fewer bits; vectors
// and routers stay f32.
std::vector<GgufTensor> gguf_tensors(const ModelConfig& config, DType type);

// The architecture's keys, without tokenizer. What no key says (moe_layer_freq other than 1) is an error.
Result<GgufKeys> gguf_config_keys(const ModelConfig& config, std::string_view name);

// llama3 scaling as the numbers that frequencies are divided by; empty without it.
std::vector<float> rope_divisors(const ModelConfig& config);

}  // namespace hadal
