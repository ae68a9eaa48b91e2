#include "spec/tensor_table.h"

#include <fmt/format.h>

#include <utility>

namespace hadal {
namespace {

// Appends one layer's tensors in the order in which the forward pass uses them.
class Table {
 public:
  explicit Table(const ModelConfig& config) : c_(config) {}

  void add(TensorRole role, std::string name, std::vector<std::int64_t> shape) {
    TensorSpec spec;
    spec.name = std::move(name);
    spec.role = role;
    spec.layer = layer_;
    spec.expert = expert_;
    spec.shape = std::move(shape);
    specs_.push_back(std::move(spec));
  }
  void add_in_layer(TensorRole role, std::string_view name, std::vector<std::int64_t> shape) {
    add(role, fmt::format("model.layers.{}.{}", layer_, name), std::move(shape));
  }
  void add_quantised(TensorRole role, std::string_view name, std::vector<std::int64_t> shape) {
    add_in_layer(role, name, std::move(shape));
    specs_.back().quantised_when_fp8 = true;
  }
  void mark_optional() { specs_.back().optional = true; }

  void add_block(int layer) {
    layer_ = layer;
    add_in_layer(TensorRole::input_layernorm, "input_layernorm.weight", {c_.hidden_size});
    add_attention();
    add_in_layer(TensorRole::post_attention_layernorm, "post_attention_layernorm.weight", {c_.hidden_size});
    if (c_.is_moe_layer(layer))
      add_moe();
    else
      add_mlp("mlp", {TensorRole::dense_gate, TensorRole::dense_up, TensorRole::dense_down}, c_.intermediate_size);
    layer_ = -1;
  }

  void add_mtp_layer(int layer) {  // MODELS.md 5
    layer_ = layer;
    const std::int64_t D = c_.hidden_size;
    add_in_layer(TensorRole::mtp_embed_tokens, "embed_tokens.weight", {c_.vocab_size, D});
    mark_optional();
    add_in_layer(TensorRole::mtp_enorm, "enorm.weight", {D});
    add_in_layer(TensorRole::mtp_hnorm, "hnorm.weight", {D});
    add_in_layer(TensorRole::mtp_eh_proj, "eh_proj.weight", {D, 2 * D});
    add_block(layer);
    layer_ = layer;
    add_in_layer(TensorRole::mtp_shared_head_norm, "shared_head.norm.weight", {D});
    add_in_layer(TensorRole::mtp_shared_head, "shared_head.head.weight", {c_.vocab_size, D});
    mark_optional();
    layer_ = -1;
  }

  std::vector<TensorSpec> take() { return std::move(specs_); }

 private:
  struct MlpRoles {
    TensorRole gate, up, down;
  };

  void add_attention() {
    if (c_.attention_kind == AttentionKind::gqa) return add_grouped_attention();
    const std::int64_t D = c_.hidden_size, H = c_.num_attention_heads, Q = c_.q_lora_rank, C = c_.kv_lora_rank;
    const std::int64_t N = c_.qk_nope_head_dim, R = c_.qk_rope_head_dim, V = c_.v_head_dim;
    if (Q == 0) {
      add_quantised(TensorRole::q_proj, "self_attn.q_proj.weight", {H * (N + R), D});
    } else {
      add_quantised(TensorRole::q_a_proj, "self_attn.q_a_proj.weight", {Q, D});
      add_in_layer(TensorRole::q_a_layernorm, "self_attn.q_a_layernorm.weight", {Q});
      add_quantised(TensorRole::q_b_proj, "self_attn.q_b_proj.weight", {H * (N + R), Q});
    }
    add_quantised(TensorRole::kv_a_proj_with_mqa, "self_attn.kv_a_proj_with_mqa.weight", {C + R, D});
    add_in_layer(TensorRole::kv_a_layernorm, "self_attn.kv_a_layernorm.weight", {C});
    if (c_.kv_b_form == KvBForm::whole) {
      add_quantised(TensorRole::kv_b_proj, "self_attn.kv_b_proj.weight", {H * (N + V), C});
    } else {
      add_in_layer(TensorRole::k_b_proj, "self_attn.k_b_proj.weight", {H * C, N});
      add_in_layer(TensorRole::v_b_proj, "self_attn.v_b_proj.weight", {H * V, C});
    }
    add_quantised(TensorRole::o_proj, "self_attn.o_proj.weight", {D, H * V});
  }

  void add_grouped_attention() {
    const std::int64_t D = c_.hidden_size, W = c_.head_dim, H = c_.num_attention_heads, G = c_.num_key_value_heads;
    add_quantised(TensorRole::q_proj, "self_attn.q_proj.weight", {H * W, D});
    add_quantised(TensorRole::k_proj, "self_attn.k_proj.weight", {G * W, D});
    add_quantised(TensorRole::v_proj, "self_attn.v_proj.weight", {G * W, D});
    if (c_.qkv_bias) {
      add_in_layer(TensorRole::q_bias, "self_attn.q_proj.bias", {H * W});
      add_in_layer(TensorRole::k_bias, "self_attn.k_proj.bias", {G * W});
      add_in_layer(TensorRole::v_bias, "self_attn.v_proj.bias", {G * W});
    }
    if (c_.qk_head_norm) {
      add_in_layer(TensorRole::q_norm, "self_attn.q_norm.weight", {W});
      add_in_layer(TensorRole::k_norm, "self_attn.k_norm.weight", {W});
    }
    add_quantised(TensorRole::o_proj, "self_attn.o_proj.weight", {D, H * W});
  }

  void add_moe() {
    const std::int64_t D = c_.hidden_size, E = c_.n_routed_experts, F = c_.moe_intermediate_size;
    add_in_layer(TensorRole::router, "mlp.gate.weight", {E, D});
    if (c_.topk_method == TopkMethod::noaux_tc)
      add_in_layer(TensorRole::router_bias, "mlp.gate.e_score_correction_bias", {E});
    for (expert_ = 0; expert_ < E; ++expert_)
      add_mlp(fmt::format("mlp.experts.{}", expert_),
              {TensorRole::expert_gate, TensorRole::expert_up, TensorRole::expert_down}, F);
    expert_ = -1;
    if (c_.n_shared_experts > 0)
      add_mlp("mlp.shared_experts", {TensorRole::shared_gate, TensorRole::shared_up, TensorRole::shared_down},
              c_.n_shared_experts * F);
  }

  void add_mlp(std::string_view prefix, MlpRoles roles, std::int64_t width) {
    const std::int64_t D = c_.hidden_size;
    add_quantised(roles.gate, fmt::format("{}.gate_proj.weight", prefix), {width, D});
    add_quantised(roles.up, fmt::format("{}.up_proj.weight", prefix), {width, D});
    add_quantised(roles.down, fmt::format("{}.down_proj.weight", prefix), {D, width});
  }

  const ModelConfig& c_;
  int layer_ = -1, expert_ = -1;
  std::vector<TensorSpec> specs_;
};

}  // namespace

std::int64_t TensorSpec::elements() const {
  std::int64_t product = 1;
  for (std::int64_t dimension : shape) product *= dimension;
  return product;
}

std::vector<TensorSpec> tensor_table(const ModelConfig& config) {
  Table table(config);
  table.add(TensorRole::embed_tokens, "model.embed_tokens.weight", {config.vocab_size, config.hidden_size});
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) table.add_block(layer);
  table.add(TensorRole::final_norm, "model.norm.weight", {config.hidden_size});
  table.add(TensorRole::lm_head, "lm_head.weight", {config.vocab_size, config.hidden_size});
  if (config.tie_word_embeddings) table.mark_optional();
  for (int i = 0; i < config.num_nextn_predict_layers; ++i) table.add_mtp_layer(config.num_hidden_layers + i);
  return table.take();
}

ParameterCounts count_parameters(const ModelConfig& config) {
  ParameterCounts counts;
  for (const TensorSpec& spec : tensor_table(config)) {
    if (spec.optional) continue;  // a copy of another tensor
    if (spec.layer >= config.num_hidden_layers) {
      counts.mtp += spec.elements();
      continue;
    }
    counts.total += spec.elements();
    if (spec.expert < config.num_experts_per_tok)
      counts.active += spec.elements();  // as many as are chosen, -1 included
  }
  return counts;
}

}  // namespace hadal
