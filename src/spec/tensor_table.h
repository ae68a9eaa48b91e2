// The one table of tensor names and shapes. Loader, exporter, trainer and
// `inspect` read it; nobody else spells a tensor's name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spec/model_config.h"

namespace hadal {

enum class TensorRole {
  embed_tokens, final_norm, lm_head,                                  // once
  input_layernorm, post_attention_layernorm,                          // a layer
  q_proj, q_a_proj, q_a_layernorm, q_b_proj,                          // attention
  kv_a_proj_with_mqa, kv_a_layernorm, kv_b_proj, o_proj,
  k_b_proj, v_b_proj,                                                 // kv_b split: [H C, N] transposed keys, [H V, C]
  k_proj, v_proj, q_bias, k_bias, v_bias, q_norm, k_norm,             // grouped-query attention (q_proj, o_proj as above)
  dense_gate, dense_up, dense_down,                                   // dense SwiGLU
  router, router_bias,                                                // mlp.gate.weight [E, D], e_score_correction_bias [E]
  expert_gate, expert_up, expert_down,                                // one routed expert
  shared_gate, shared_up, shared_down,                                // the fused shared experts
  mtp_enorm, mtp_hnorm, mtp_eh_proj, mtp_shared_head_norm,            // layer num_hidden_layers + i
  mtp_embed_tokens, mtp_shared_head,                                  // copies of embed_tokens and lm_head
};

struct TensorSpec {
  std::string name;                  // as published: model.layers.3.mlp.experts.7.up_proj.weight
  TensorRole role;
  int layer = -1;                    // -1: not of a layer; MTP layers count on from num_hidden_layers
  int expert = -1;                   // -1: not of a routed expert
  std::vector<std::int64_t> shape;   // row-major; matrices are [out, in]
  bool optional = false;             // MTP copies, tied lm_head: may be absent
  bool quantised_when_fp8 = false;   // has a companion X.weight_scale_inv in fp8-block checkpoints

  std::int64_t elements() const;
};

// Every tensor of the model in file order: embedding, layers upward, final norm, head, MTP layers.
std::vector<TensorSpec> tensor_table(const ModelConfig& config);

struct ParameterCounts {
  std::int64_t total = 0;   // without MTP layers
  std::int64_t active = 0;  // a token touches: chosen experts only, both embedding tables counted
  std::int64_t mtp = 0;
};
ParameterCounts count_parameters(const ModelConfig& config);

}  // namespace hadal
