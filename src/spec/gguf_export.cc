#include "spec/gguf_export.h"

#include <fmt/format.h>

#include <cmath>

#include "base/check.h"
#include "spec/gguf_checkpoint.h"

namespace hadal {
namespace {

bool is_k_quant(DType type) {
  return type == DType::q2_k || type == DType::q3_k || type == DType::q4_k || type == DType::q5_k ||
         type == DType::q6_k;
}

// For rows that are no whole blocks of 256.
DType of_32(DType type) {
  switch (type) {
    case DType::q4_k:
      return DType::q5_0;
    case DType::q5_k:
      return DType::q5_1;
    case DType::q6_k:
      return DType::q8_0;
    case DType::q2_k:
    case DType::q3_k:
      return DType::q4_0;
    default:
      return type;
  }
}

DType type_for_rows(DType type, std::int64_t width) {
  if (is_k_quant(type) && width % 256 != 0) type = of_32(type);
  if (width % block_values(type) != 0) return DType::f16;
  return type;
}

DType type_of(const ModelConfig& config, const TensorSpec& spec, DType type) {
  if (spec.shape.size() < 2 || spec.role == TensorRole::router) return DType::f32;
  const bool head = spec.role == (config.tie_word_embeddings ? TensorRole::embed_tokens : TensorRole::lm_head);
  const bool few_bits = is_block(type) && type != DType::q8_0 && type != DType::q6_k;
  if (head && few_bits) type = DType::q6_k;
  return type_for_rows(type, spec.shape.back());
}

bool is_expert(TensorRole role) {
  return role == TensorRole::expert_gate || role == TensorRole::expert_up || role == TensorRole::expert_down;
}

// Both halves of kv_b, whichever form the source has.
void add_heads(const ModelConfig& c, DType type, const TensorSpec& spec, std::vector<GgufTensor>& to) {
  const std::int64_t H = c.num_attention_heads, C = c.kv_lora_rank, N = c.qk_nope_head_dim, V = c.v_head_dim;
  GgufTensor keys, values;
  keys.content = GgufTensor::Content::keys;
  keys.declaration = {fmt::format("blk.{}.attn_k_b.weight", spec.layer), type_for_rows(type, N), {H, C, N}};
  values.content = GgufTensor::Content::values;
  values.declaration = {fmt::format("blk.{}.attn_v_b.weight", spec.layer), type_for_rows(type, C), {H, V, C}};
  keys.sources = values.sources = {spec};
  to.push_back(std::move(keys));
  to.push_back(std::move(values));
}

}  // namespace

std::vector<GgufTensor> gguf_tensors(const ModelConfig& config, DType type) {
  std::vector<GgufTensor> tensors;
  const bool permutes = config.model_type == ModelType::llama && config.rope_layout == RopeLayout::half_split;
  if (config.llama3_scaling || !config.rope_frequency_divisors.empty()) {
    GgufTensor divisors;
    divisors.content = GgufTensor::Content::divisors;
    divisors.declaration = {"rope_freqs.weight", DType::f32, {config.rope_dim() / 2}};
    tensors.push_back(std::move(divisors));
  }
  for (const TensorSpec& spec : tensor_table(config)) {
    if (spec.layer >= config.num_hidden_layers || (spec.role == TensorRole::lm_head && config.tie_word_embeddings))
      continue;
    if (spec.role == TensorRole::kv_b_proj) {
      add_heads(config, type, spec, tensors);
      continue;
    }
    if (is_expert(spec.role) && spec.expert > 0) {  // behind the first of its stack
      const std::string name = gguf_tensor_name(spec);
      for (auto t = tensors.rbegin();; ++t)
        if (t->declaration.name == name) {
          t->sources.push_back(spec);
          break;
        }
      continue;
    }
    GgufTensor t;
    t.declaration = {gguf_tensor_name(spec), type_of(config, spec, type), spec.shape};
    t.sources = {spec};
    t.permuted = permutes && (spec.role == TensorRole::q_proj || spec.role == TensorRole::k_proj);
    if (is_expert(spec.role)) {
      t.content = GgufTensor::Content::experts;
      t.declaration.shape.insert(t.declaration.shape.begin(), config.n_routed_experts);
    }
    if (spec.role == TensorRole::k_b_proj)
      t.declaration.shape = {config.num_attention_heads, config.kv_lora_rank, spec.shape[1]};
    if (spec.role == TensorRole::v_b_proj)
      t.declaration.shape = {config.num_attention_heads, config.v_head_dim, spec.shape[1]};
    tensors.push_back(std::move(t));
  }
  return tensors;
}

std::vector<float> rope_divisors(const ModelConfig& config) {
  if (!config.llama3_scaling) return config.rope_frequency_divisors;
  ModelConfig plain = config;
  plain.llama3_scaling.reset();
  const std::vector<float> scaled = rope_inverse_frequencies(config), whole = rope_inverse_frequencies(plain);
  std::vector<float> divisors;
  for (std::size_t i = 0; i < whole.size(); ++i) divisors.push_back(whole[i] / scaled[i]);
  return divisors;
}

Result<GgufKeys> gguf_config_keys(const ModelConfig& c, std::string_view name) {
  if (c.n_routed_experts > 0 && c.moe_layer_freq != 1)
    return Error{ErrorKind::unsupported,
                 fmt::format("{}: moe_layer_freq: expected 1, which is all that a GGUF file can say, found {}", name,
                             c.moe_layer_freq)};
  const bool latent = c.attention_kind == AttentionKind::mla;
  const std::string architecture = latent ? "deepseek2" : std::string(name_of(c.model_type));
  const auto key = [&](std::string_view rest) { return architecture + "." + std::string(rest); };
  const auto u32 = [](int x) { return static_cast<std::uint32_t>(x); };
  GgufKeys keys;
  keys.string("general.architecture", architecture).string("general.name", name);
  keys.u32("general.quantization_version", 2);
  keys.u32(key("block_count"), u32(c.num_hidden_layers));
  keys.u32(key("context_length"), u32(c.max_position_embeddings));
  keys.u32(key("embedding_length"), u32(c.hidden_size));
  keys.u32(key("feed_forward_length"), u32(c.intermediate_size));
  keys.u32(key("attention.head_count"), u32(c.num_attention_heads));
  keys.f32(key("attention.layer_norm_rms_epsilon"), static_cast<float>(c.rms_norm_eps));
  keys.f32(key("rope.freq_base"), static_cast<float>(c.rope_theta));
  keys.u32(key("rope.dimension_count"), u32(c.rope_dim()));
  keys.u32(key("vocab_size"), u32(c.vocab_size));
  if (const auto& yarn = c.rope_scaling) {
    keys.string(key("rope.scaling.type"), "yarn");
    keys.f32(key("rope.scaling.factor"), static_cast<float>(yarn->factor));
    keys.u32(key("rope.scaling.original_context_length"), u32(yarn->original_max_position_embeddings));
    keys.f32(key("rope.scaling.yarn_log_multiplier"), static_cast<float>(0.1 * yarn->mscale_all_dim));
    keys.f32(key("rope.scaling.yarn_beta_fast"), static_cast<float>(yarn->beta_fast));
    keys.f32(key("rope.scaling.yarn_beta_slow"), static_cast<float>(yarn->beta_slow));
  }
  if (!latent) {
    keys.u32(key("attention.head_count_kv"), u32(c.num_key_value_heads));
    keys.u32(key("attention.key_length"), u32(c.head_dim));
    keys.u32(key("attention.value_length"), u32(c.head_dim));
    return keys;
  }
  // With a split kv_b the cache rows are the one key head (MODELS.md 8.3).
  keys.u32(key("attention.head_count_kv"), 1);
  keys.u32(key("attention.key_length"), u32(c.kv_lora_rank + c.qk_rope_head_dim));
  keys.u32(key("attention.value_length"), u32(c.kv_lora_rank));
  keys.u32(key("attention.key_length_mla"), u32(c.qk_head_dim()));
  keys.u32(key("attention.value_length_mla"), u32(c.v_head_dim));
  keys.u32(key("attention.kv_lora_rank"), u32(c.kv_lora_rank));
  if (c.q_lora_rank > 0) keys.u32(key("attention.q_lora_rank"), u32(c.q_lora_rank));
  keys.u32(key("leading_dense_block_count"),
           u32(c.n_routed_experts > 0 ? c.first_k_dense_replace : c.num_hidden_layers));
  if (c.n_routed_experts == 0) return keys;
  keys.u32(key("expert_count"), u32(c.n_routed_experts));
  keys.u32(key("expert_used_count"), u32(c.num_experts_per_tok));
  keys.u32(key("expert_shared_count"), u32(c.n_shared_experts));
  keys.u32(key("expert_feed_forward_length"), u32(c.moe_intermediate_size));
  keys.f32(key("expert_weights_scale"), static_cast<float>(c.routed_scaling_factor));
  keys.boolean(key("expert_weights_norm"), c.norm_topk_prob);
  keys.u32(key("expert_gating_func"), c.scoring_func == ScoringFunc::sigmoid ? 2 : 1);
  const bool in_groups = c.topk_method != TopkMethod::greedy;  // the keys are all that says how experts are chosen
  keys.u32(key("expert_group_count"), in_groups ? u32(c.n_group) : 1);
  keys.u32(key("expert_group_used_count"), in_groups ? u32(c.topk_group) : 1);
  return keys;
}

}  // namespace hadal
