// What a model is, as data: the fields of config.json (or of a GGUF file's keys), checked.
//
// DeepSeek's models and the dense ones of R1-Distill differ by the named fields
// below and by nothing else; no code asks "which version is this?". An unknown
// value is an error that names it. Field names keep their config.json spelling.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace hadal {

enum class ModelType { deepseek_v2, deepseek_v3, kimi_k2, qwen2, qwen3, llama };
enum class AttentionKind { mla, gqa };
enum class ResidualKind { single_stream };
enum class RopeLayout { interleaved, half_split };                     // pairs (2i, 2i+1) or (i, i + d/2) (MODELS.md 2.5)
enum class KvBForm { whole, split };                                   // kv_b_proj, or k_b_proj and v_b_proj (8.3)
enum class ScoringFunc { softmax, sigmoid };
enum class TopkMethod { greedy, group_limited_greedy, noaux_tc };
enum class WeightFormat { plain, fp8_block };                          // plain: bf16, f16 or f32 as stored

struct YarnScaling {  // rope_scaling of type "yarn" (MODELS.md 3)
  double factor = 1;
  int original_max_position_embeddings = 4096;
  double beta_fast = 32, beta_slow = 1;
  double mscale = 1, mscale_all_dim = 0;

  friend bool operator==(const YarnScaling&, const YarnScaling&) = default;
};

struct Llama3Scaling {  // rope_scaling of type "llama3" (MODELS.md 1.3)
  double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
  int original_max_position_embeddings = 8192;

  friend bool operator==(const Llama3Scaling&, const Llama3Scaling&) = default;
};

struct ModelConfig {
  ModelType model_type = ModelType::deepseek_v3;
  AttentionKind attention_kind = AttentionKind::mla;
  ResidualKind residual_kind = ResidualKind::single_stream;
  RopeLayout rope_layout = RopeLayout::interleaved;

  int vocab_size = 0, hidden_size = 0, intermediate_size = 0, moe_intermediate_size = 0;
  int num_hidden_layers = 0, num_attention_heads = 0;
  int q_lora_rank = 0;  // 0: no query rank (q_proj instead of q_a/q_b)
  int kv_lora_rank = 0, qk_nope_head_dim = 0, qk_rope_head_dim = 0, v_head_dim = 0;
  KvBForm kv_b_form = KvBForm::whole;  // split only in GGUF files

  // Grouped-query attention: queries, keys and values of head_dim, all of it rotated.
  int num_key_value_heads = 0, head_dim = 0;
  bool qkv_bias = false;      // q, k and v have biases (qwen2)
  bool qk_head_norm = false;  // RMSNorm of each query and key head before rotation (qwen3)

  int n_routed_experts = 0;  // 0: every layer is dense
  int n_shared_experts = 0, num_experts_per_tok = 0;
  int first_k_dense_replace = 0, moe_layer_freq = 1;
  int n_group = 1, topk_group = 1;
  ScoringFunc scoring_func = ScoringFunc::sigmoid;
  TopkMethod topk_method = TopkMethod::noaux_tc;
  bool norm_topk_prob = true;
  double routed_scaling_factor = 1;

  double rms_norm_eps = 1e-6, rope_theta = 10000;
  std::optional<YarnScaling> rope_scaling;
  std::optional<Llama3Scaling> llama3_scaling;
  std::vector<float> rope_frequency_divisors;  // one a frequency, instead of a scaling (GGUF's rope_freqs); empty: none
  int max_position_embeddings = 0;
  bool tie_word_embeddings = false;
  int num_nextn_predict_layers = 0;  // multi-token-prediction layers, stored after the main ones

  TokenId bos_token_id{0};
  std::vector<TokenId> eos_token_ids;
  WeightFormat weight_format = WeightFormat::plain;
  int weight_block_rows = 128, weight_block_cols = 128;  // of fp8_block

  // Of a query or key head, and the part of it that RoPE turns.
  int qk_head_dim() const {
    return attention_kind == AttentionKind::mla ? qk_nope_head_dim + qk_rope_head_dim : head_dim;
  }
  int value_head_dim() const { return attention_kind == AttentionKind::mla ? v_head_dim : head_dim; }
  int rope_dim() const { return attention_kind == AttentionKind::mla ? qk_rope_head_dim : head_dim; }
  // Numbers that the cache keeps of a token and layer: the latent and the shared key, or every key and value head.
  int latent_row_width() const {
    return attention_kind == AttentionKind::mla ? kv_lora_rank + qk_rope_head_dim : 2 * num_key_value_heads * head_dim;
  }
  // MoE iff n_routed_experts, layer >= first_k_dense_replace and layer % moe_layer_freq == 0. MTP layers are MoE alike.
  bool is_moe_layer(int layer) const {
    return n_routed_experts > 0 && layer >= first_k_dense_replace && layer % moe_layer_freq == 0;
  }

  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

// "deepseek_v3", as config.json spells it.
std::string_view name_of(ModelType type);

// Reads config.json text. `subject` names the file in errors. Refuses unknown enum values, absent or impossible sizes
// (ErrorKind::unsupported / invalid). Takes `rope_scaling` as published and `rope_parameters` as transformers 5 writes it.
Result<ModelConfig> parse_model_config(std::string_view json, std::string_view subject);

// The config.json that parse_model_config reads back unchanged, in the published spelling. What only GGUF has (a split
// kv_b, frequency divisors, interleaved llama) is not written.
std::string write_model_config(const ModelConfig& config);

// The factor on q·k: qk_head_dim()^-0.5 * m^2, m = 0.1 * mscale_all_dim * ln(factor) + 1 (MODELS.md 2.6).
float softmax_scale(const ModelConfig& config);

// rope_dim() / 2 inverse frequencies, after scaling (MODELS.md 3, 1.3). Computed in double, rounded once.
std::vector<float> rope_inverse_frequencies(const ModelConfig& config);

}  // namespace hadal
