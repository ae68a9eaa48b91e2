// A model's weights as the kernels read them: matrices packed, vectors float32.
//
// The same structure serves inference (filled once from a checkpoint) and
// training (refilled from the float32 parameters after each step).
#pragma once

#include <functional>
#include <vector>

#include "kernels/matmul.h"
#include "model/transformer.h"
#include "spec/model_config.h"
#include "spec/tensor_table.h"

namespace hadal {

// One absorbed head: the query goes to the latent space and the weighted latent comes back to values.
struct AbsorbedHead {
  PackedMatrix to_latent;  // [C, N] = W_uk^T
  PackedMatrix to_value;   // [V, C] = W_uv
};

struct AttentionWeights {
  std::vector<float> input_layernorm;  // [D]
  PackedMatrix q_proj;                 // [H (N + R), D], without query rank
  PackedMatrix q_a_proj;               // [Q, D]
  std::vector<float> q_a_layernorm;    // [Q]
  PackedMatrix q_b_proj;               // [H (N + R), Q]
  PackedMatrix kv_a_proj;              // [C + R, D]
  std::vector<float> kv_a_layernorm;   // [C]
  PackedMatrix kv_b_proj;              // [H (N + V), C]
  std::vector<AbsorbedHead> absorbed;  // [H]; empty where only the expanded order is wanted (training)
  PackedMatrix o_proj;                 // [D, H V]

  // Grouped-query attention instead: G key and value heads of width A.
  PackedMatrix k_proj, v_proj;                // [G A, D]; q_proj [H A, D]
  std::vector<float> q_bias, k_bias, v_bias;  // [H A], [G A], [G A]; empty: none
  std::vector<float> q_norm, k_norm;          // [A]; empty: none
};

// SwiGLU: gate and up in one matrix, so that one product gives both. `up` starts at the next multiple of 32 outputs.
struct FfnWeights {
  int width = 0;         // F
  PackedMatrix gate_up;  // [up_offset(F) + F, D]
  PackedMatrix down;     // [D, F]

  static int up_offset(int width) { return (width + 31) / 32 * 32; }
  int gate_up_stride() const { return up_offset(width) + width; }
};

struct BlockWeights {
  AttentionWeights attention;
  std::vector<float> post_attention_layernorm;  // [D]
  bool moe = false;
  FfnWeights dense;                 // when not moe
  PackedMatrix router;              // [E, D], always float32
  std::vector<float> router_bias;   // [E]; empty: none
  std::vector<FfnWeights> experts;  // [E]
  FfnWeights shared;                // width 0: none
};

struct ModelWeights {
  Arithmetic arithmetic = Arithmetic::exact;
  std::vector<float> embedding_exact;         // [vocab, D], one of the three
  std::vector<std::uint16_t> embedding_fast;  // bf16
  StoredRows embedding_stored{};              // as the file has it, in blocks
  std::vector<BlockWeights> blocks;           // [L]
  std::vector<float> final_norm;              // [D]
  PackedMatrix lm_head;                       // [vocab, D]
};

enum class AttentionOrders { expanded_only, both };

// One block: MoE or dense as `moe` says.
BlockWeights allocate_block(const ModelConfig& config, Arithmetic arithmetic, AttentionOrders orders, bool moe);

// Allocates everything for `config`. The contents are undefined until filled.
ModelWeights allocate_weights(const ModelConfig& config, Arithmetic arithmetic, AttentionOrders orders);

// The same without memory for matrices and embedding, and the two ways to it.
ModelWeights declare_weights(const ModelConfig& config, Arithmetic arithmetic, AttentionOrders orders);
void allocate_embedding(const ModelConfig& config, ModelWeights& weights);
void allocate_rest(ModelWeights& weights);  // the matrices that do not refer to stored rows

// Weights out of a checkpoint: what is stored in blocks is referred to where it lies, the rest is read tensor by tensor
// and packed in parallel; `source.read` is called from several threads at once.
Result<ModelWeights> load_weights(const ModelConfig& config, const WeightSource& source, const Compute& compute);

// One row of the embedding, [D].
void embed(const ModelConfig& config, const ModelWeights& weights, const KernelTable& kernels, TokenId token,
           float* out);

}  // namespace hadal
