#include "spec/config_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace hadal {
namespace {

constexpr double kMaxTensors =
    2e6;  // V3 has 92,000 with scales; a table of more would exhaust memory before any file is read
constexpr double kMaxParameters = 1e15;  // keeps every product of sizes far below 2^63

class Checks {
 public:
  Checks(const ModelConfig& config, std::string_view subject) : c_(config), subject_(subject) {}

  Status all() {
    groups();
    if (c_.attention_kind == AttentionKind::gqa) key_heads();
    products();
    if (error_) return *error_;
    return Done{};
  }

 private:
  void fail(std::string_view what, std::string_view expected, std::string_view found) {
    if (!error_)
      error_ = Error{ErrorKind::invalid, fmt::format("{}: {}: expected {}, found {}", subject_, what, expected, found)};
  }

  void groups() {
    if (c_.n_routed_experts == 0) return;
    const int experts = c_.n_routed_experts;
    if (c_.num_experts_per_tok < 1 || c_.num_experts_per_tok > experts)
      return fail("num_experts_per_tok", fmt::format("1 to {}", experts), fmt::format("{}", c_.num_experts_per_tok));
    if (c_.topk_method == TopkMethod::greedy) return;
    if (experts % c_.n_group != 0)
      return fail("n_group", fmt::format("a divisor of {} experts", experts), fmt::format("{}", c_.n_group));
    const int group = experts / c_.n_group;
    if (c_.topk_group > c_.n_group)
      return fail("topk_group", fmt::format("at most n_group {}", c_.n_group), fmt::format("{}", c_.topk_group));
    if (c_.num_experts_per_tok > c_.topk_group * group)
      return fail("num_experts_per_tok",
                  fmt::format("at most the {} experts of {} groups", c_.topk_group * group, c_.topk_group),
                  fmt::format("{}", c_.num_experts_per_tok));
    // A group's score is the sum of its two best (MODELS.md 4.2).
    if (c_.topk_method == TopkMethod::noaux_tc && c_.n_group > 1 && group < 2)
      fail("n_group", "groups of at least 2 experts", fmt::format("{} groups of {} experts", c_.n_group, experts));
  }

  void key_heads() {
    if (c_.num_attention_heads % c_.num_key_value_heads != 0)
      fail("num_key_value_heads", fmt::format("a divisor of {} heads", c_.num_attention_heads),
           fmt::format("{}", c_.num_key_value_heads));
    if (c_.head_dim % 2 != 0) fail("head_dim", "an even number", fmt::format("{}", c_.head_dim));
  }

  void at_most(std::string_view what, double product, double max) {
    if (product > max) fail(what, fmt::format("at most {:.3g}", max), fmt::format("{:.3g}", product));
  }

  void products() {
    const double heads = c_.num_attention_heads, hidden = c_.hidden_size;
    double attention = 0;
    if (c_.attention_kind == AttentionKind::mla) {
      const double qk = static_cast<double>(c_.qk_nope_head_dim) + c_.qk_rope_head_dim,
                   kv = static_cast<double>(c_.qk_nope_head_dim) + c_.v_head_dim;
      at_most("num_attention_heads * (qk_nope_head_dim + qk_rope_head_dim)", heads * qk, kMaxConfigSize);
      at_most("num_attention_heads * (qk_nope_head_dim + v_head_dim)", heads * kv, kMaxConfigSize);
      at_most("num_attention_heads * (kv_lora_rank + qk_rope_head_dim)",
              heads * (static_cast<double>(c_.kv_lora_rank) + c_.qk_rope_head_dim), kMaxConfigSize);
      attention = hidden * heads * (qk + c_.v_head_dim) + c_.q_lora_rank * (hidden + heads * qk) +
                  (c_.kv_lora_rank + qk) * (hidden + heads * kv);
    } else {
      at_most("num_attention_heads * head_dim", heads * c_.head_dim, kMaxConfigSize);
      attention = 2 * hidden * (heads + c_.num_key_value_heads) * c_.head_dim;
    }
    at_most("n_shared_experts * moe_intermediate_size",
            static_cast<double>(c_.n_shared_experts) * c_.moe_intermediate_size, kMaxConfigSize);
    const double layers = static_cast<double>(c_.num_hidden_layers) + c_.num_nextn_predict_layers,
                 experts = c_.n_routed_experts;
    at_most("the number of tensors", layers * (20 + 3 * experts), kMaxTensors);
    const double mlp =
        3 * hidden * std::max<double>(c_.intermediate_size, (experts + c_.n_shared_experts) * c_.moe_intermediate_size);
    at_most("the number of parameters", layers * (mlp + attention + experts * hidden) + 2.0 * c_.vocab_size * hidden,
            kMaxParameters);
  }

  const ModelConfig& c_;
  std::string_view subject_;
  std::optional<Error> error_;
};

}  // namespace

Status check_model_config(const ModelConfig& config, std::string_view subject) {
  return Checks(config, subject).all();
}

}  // namespace hadal
