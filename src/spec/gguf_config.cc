#include "spec/gguf_config.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>

#include "base/printable.h"
#include "spec/config_check.h"

namespace hadal {
namespace {

// Keys of one architecture; remembers the first error, so that a page of keys needs one check at its end.
class Keys {
 public:
  explicit Keys(const Gguf& gguf, std::string architecture) : gguf_(gguf), prefix_(std::move(architecture) + ".") {}

  int size(std::string_view key, int min, int max, std::optional<int> absent) {
    const auto found = take(gguf_.integer(prefix_ + std::string(key)));
    if (!found) {
      if (!absent) fail(key, fmt::format("a whole number from {} to {}", min, max), "none");
      return absent.value_or(min);
    }
    if (*found >= min && *found <= max) return static_cast<int>(*found);
    fail(key, fmt::format("a whole number from {} to {}", min, max), fmt::format("{}", *found));
    return min;
  }
  int required(std::string_view key, int min = 1, int max = kMaxConfigSize) {
    return size(key, min, max, std::nullopt);
  }
  double number(std::string_view key, double min, double max, double absent) {
    const auto found = take(gguf_.number(prefix_ + std::string(key)));
    if (!found) return absent;
    if (*found >= min && *found <= max) return *found;
    fail(key, fmt::format("a number from {} to {}", min, max), fmt::format("{}", *found));
    return absent;
  }
  bool flag(std::string_view key, bool absent) {
    return take(gguf_.boolean(prefix_ + std::string(key))).value_or(absent);
  }
  std::string text(std::string_view key) {
    return std::string(take(gguf_.string(prefix_ + std::string(key))).value_or(""));
  }
  bool has(std::string_view key) const { return gguf_.values().contains(prefix_ + std::string(key)); }
  bool has_tensor(std::string_view name) const { return gguf_.find(name).has_value(); }

  void fail(std::string_view key, std::string_view expected, std::string_view found,
            ErrorKind kind = ErrorKind::invalid) {
    if (!error_)
      error_ = Error{
          kind, fmt::format("{}: key {}{}: expected {}, found {}", gguf_.subject(), prefix_, key, expected, found)};
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  template <class T>
  std::optional<T> take(Result<std::optional<T>> found) {
    if (found.ok()) return *std::move(found);
    if (!error_) error_ = found.error();
    return std::nullopt;
  }
  const Gguf& gguf_;
  std::string prefix_;
  std::optional<Error> error_;
};

void read_sizes(Keys& keys, const Gguf& gguf, ModelConfig& c) {
  c.hidden_size = keys.required("embedding_length");
  c.intermediate_size = keys.required("feed_forward_length");
  c.num_attention_heads = keys.required("attention.head_count");
  c.max_position_embeddings = keys.required("context_length");
  c.rms_norm_eps = keys.number("attention.layer_norm_rms_epsilon", 0, 1, 1e-6);
  c.rope_theta = keys.number("rope.freq_base", 1.0001, 1e12, 10000);
  const auto embedding = gguf.find("token_embd.weight");
  if (!embedding || embedding->shape.size() != 2 || embedding->shape[0] > kMaxConfigSize)
    return keys.fail("vocab_size", "a tensor token_embd.weight of two dimensions",
                     embedding ? "another shape" : "none");
  c.vocab_size = static_cast<int>(embedding->shape[0]);
  c.tie_word_embeddings = !keys.has_tensor("output.weight");
}

// `log_multiplier`: 0.1 mscale_all_dim (MODELS.md 8.3). It is stored in float32, but is a short decimal number.
void read_rope_scaling(Keys& keys, double absent_log_multiplier, ModelConfig& c) {
  const std::string type = keys.text("rope.scaling.type");
  const double factor = keys.number("rope.scaling.factor", 1e-6, 1e6, 1);
  if (type.empty() || type == "none") {
    if (factor != 1) keys.fail("rope.scaling.type", "yarn with a factor", "none", ErrorKind::unsupported);
    return;
  }
  if (type != "yarn") {
    if (type == "linear" && factor == 1) return;
    return keys.fail("rope.scaling.type", "yarn or none", printable(type), ErrorKind::unsupported);
  }
  YarnScaling yarn;
  yarn.factor = keys.number("rope.scaling.factor", 1, 1e6, 1);
  yarn.original_max_position_embeddings =
      keys.size("rope.scaling.original_context_length", 1, kMaxConfigSize, c.max_position_embeddings);
  yarn.beta_fast = keys.number("rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32);
  yarn.beta_slow = keys.number("rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1);
  const double multiplier = keys.number("rope.scaling.yarn_log_multiplier", -100, 100, absent_log_multiplier);
  yarn.mscale = yarn.mscale_all_dim = std::round(multiplier * 1e7) / 1e6;
  c.rope_scaling = yarn;
}

// Files that were converted before these keys came (autumn 2025) say nothing of groups; two published shapes have them.
std::pair<int, int> groups_of_older_files(const ModelConfig& c) {
  if (c.n_routed_experts == 256 && c.hidden_size == 7168) return {8, 4};  // DeepSeek-V3, R1
  if (c.n_routed_experts == 160 && c.hidden_size == 5120) return {8, 3};  // DeepSeek-V2
  return {1, 1};
}

void read_moe(Keys& keys, ModelConfig& c) {
  c.n_routed_experts = keys.size("expert_count", 0, kMaxConfigExperts, 0);
  c.first_k_dense_replace = keys.size("leading_dense_block_count", 0, kMaxConfigLayers, 0);
  if (c.n_routed_experts == 0) return;
  c.num_experts_per_tok = keys.required("expert_used_count", 1, kMaxConfigExperts);
  c.n_shared_experts = keys.size("expert_shared_count", 0, kMaxConfigExperts, 0);
  c.moe_intermediate_size = keys.required("expert_feed_forward_length");
  c.routed_scaling_factor = keys.number("expert_weights_scale", 0, 1e6, 1);
  c.norm_topk_prob = keys.flag("expert_weights_norm", false);
  const auto [groups, used_groups] = groups_of_older_files(c);
  c.n_group = keys.size("expert_group_count", 1, kMaxConfigExperts, groups);
  c.topk_group = keys.size("expert_group_used_count", 1, kMaxConfigExperts, used_groups);
  constexpr int kSoftmax = 1, kSigmoid = 2;
  const int gate = keys.size("expert_gating_func", 0, 255, kSoftmax);
  if (gate != kSoftmax && gate != kSigmoid)
    keys.fail("expert_gating_func", "1 (softmax) or 2 (sigmoid)", fmt::format("{}", gate), ErrorKind::unsupported);
  c.scoring_func = gate == kSigmoid ? ScoringFunc::sigmoid : ScoringFunc::softmax;
  c.model_type = gate == kSigmoid ? ModelType::deepseek_v3 : ModelType::deepseek_v2;
  const bool biased = keys.has_tensor(fmt::format("blk.{}.exp_probs_b.bias", c.first_k_dense_replace));
  c.topk_method = biased ? TopkMethod::noaux_tc : c.n_group > 1 ? TopkMethod::group_limited_greedy : TopkMethod::greedy;
}

void read_deepseek2(Keys& keys, ModelConfig& c) {
  c.model_type = ModelType::deepseek_v2;
  c.num_nextn_predict_layers = keys.size("nextn_predict_layers", 0, kMaxConfigLayers, 0);
  c.num_hidden_layers =
      keys.required("block_count", 1 + c.num_nextn_predict_layers, kMaxConfigLayers) - c.num_nextn_predict_layers;
  c.q_lora_rank = keys.size("attention.q_lora_rank", 0, kMaxConfigSize, 0);
  c.kv_lora_rank = keys.required("attention.kv_lora_rank");
  c.qk_rope_head_dim = keys.required("rope.dimension_count", 2);
  if (c.qk_rope_head_dim % 2 != 0)
    keys.fail("rope.dimension_count", "an even number", fmt::format("{}", c.qk_rope_head_dim));
  // With a split kv_b, key_length and value_length are those of the cache rows, and these of the heads.
  const char* key_length = keys.has("attention.key_length_mla") ? "attention.key_length_mla" : "attention.key_length";
  const char* value_length =
      keys.has("attention.value_length_mla") ? "attention.value_length_mla" : "attention.value_length";
  c.qk_nope_head_dim = keys.required(key_length, c.qk_rope_head_dim + 1) - c.qk_rope_head_dim;
  c.v_head_dim = keys.required(value_length);
  const bool split = keys.has_tensor("blk.0.attn_k_b.weight") && keys.has_tensor("blk.0.attn_v_b.weight");
  c.kv_b_form = split ? KvBForm::split : KvBForm::whole;
  read_moe(keys, c);
  read_rope_scaling(keys, /*absent_log_multiplier=*/0, c);
}

void read_dense(Keys& keys, const Gguf& gguf, ModelType type, ModelConfig& c) {
  c.model_type = type;
  c.attention_kind = AttentionKind::gqa;
  // Converters permute the queries and keys of llama, and of nobody else.
  c.rope_layout = type == ModelType::llama ? RopeLayout::interleaved : RopeLayout::half_split;
  c.num_hidden_layers = keys.required("block_count", 1, kMaxConfigLayers);
  c.num_key_value_heads = keys.size("attention.head_count_kv", 1, kMaxConfigSize, c.num_attention_heads);
  c.head_dim = keys.size("attention.key_length", 2, kMaxConfigSize, std::max(2, c.hidden_size / c.num_attention_heads));
  for (const char* key : {"attention.value_length", "rope.dimension_count"})
    if (const int found = keys.size(key, 1, kMaxConfigSize, c.head_dim); found != c.head_dim)
      keys.fail(key, fmt::format("the head width {}", c.head_dim), fmt::format("{}", found), ErrorKind::unsupported);
  if (keys.size("expert_count", 0, kMaxConfigExperts, 0) > 0)
    keys.fail("expert_count", "0: experts are known of deepseek2 only", "more", ErrorKind::unsupported);
  if (const int window = keys.size("attention.sliding_window", 0, kMaxConfigSize, 0);
      window > 0 && window < c.max_position_embeddings)
    keys.fail("attention.sliding_window", "none", fmt::format("{}", window), ErrorKind::unsupported);
  c.qkv_bias = keys.has_tensor("blk.0.attn_q.bias");
  c.qk_head_norm = keys.has_tensor("blk.0.attn_q_norm.weight");
  read_rope_scaling(keys, /*absent_log_multiplier=*/0.1, c);
  if (const auto divisors = gguf.find("rope_freqs.weight")) {
    if (divisors->dtype != DType::f32 || divisors->elements() != c.head_dim / 2)
      return keys.fail("rope_freqs.weight", fmt::format("{} numbers in F32", c.head_dim / 2),
                       shape_text(divisors->shape));
    c.rope_frequency_divisors = floats_of(*divisors);
    for (const float divisor : c.rope_frequency_divisors)
      if (!(divisor > 0) || !std::isfinite(divisor))
        keys.fail("rope_freqs.weight", "numbers above 0", fmt::format("{}", divisor));
  }
}

Status read_tokens(const Gguf& gguf, ModelConfig& c) {
  const auto token = [&](const char* key, auto&& keep) -> Status {
    HADAL_ASSIGN(const auto id, gguf.integer(key));
    if (!id) return Done{};
    if (*id < 0 || *id >= c.vocab_size)
      return Error{ErrorKind::invalid, fmt::format("{}: key {}: expected an id from 0 to {}, found {}", gguf.subject(),
                                                   key, c.vocab_size - 1, *id)};
    keep(TokenId{static_cast<std::int32_t>(*id)});
    return Done{};
  };
  HADAL_RETURN_IF_ERROR(token("tokenizer.ggml.bos_token_id", [&](TokenId id) { c.bos_token_id = id; }));
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"})
    HADAL_RETURN_IF_ERROR(token(key, [&](TokenId id) {
      if (c.eos_token_ids.empty() || c.eos_token_ids[0] != id) c.eos_token_ids.push_back(id);
    }));
  return Done{};
}

}  // namespace

Result<ModelConfig> read_gguf_config(const Gguf& gguf) {
  HADAL_ASSIGN(const auto architecture, gguf.string("general.architecture"));
  const std::string name(architecture.value_or("none"));
  ModelConfig config;
  Keys keys(gguf, name);
  const bool known = name == "deepseek2" || name == "qwen2" || name == "qwen3" || name == "llama";
  if (!known)
    return Error{ErrorKind::unsupported,
                 fmt::format("{}: key general.architecture: expected one of deepseek2, qwen2, qwen3, llama, found {}",
                             gguf.subject(), printable(name))};
  read_sizes(keys, gguf, config);
  if (keys.error()) return *keys.error();  // the rest divides by them
  if (name == "deepseek2")
    read_deepseek2(keys, config);
  else
    read_dense(keys, gguf,
               name == "qwen2"   ? ModelType::qwen2
               : name == "qwen3" ? ModelType::qwen3
                                 : ModelType::llama,
               config);
  if (keys.error()) return *keys.error();
  HADAL_RETURN_IF_ERROR(read_tokens(gguf, config));
  HADAL_RETURN_IF_ERROR(check_model_config(config, gguf.subject()));
  return config;
}

}  // namespace hadal
