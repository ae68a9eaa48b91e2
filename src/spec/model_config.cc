// config.json in and out. Field by field; the rules that tie fields together stand in check_*.
#include "spec/model_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <span>
#include <utility>

#include "base/json.h"

namespace hadal {
namespace {

constexpr int kMaxSize = std::numeric_limits<std::int32_t>::max();
constexpr int kMaxExperts = std::numeric_limits<std::int16_t>::max();  // ExpertId
constexpr int kMaxLayers = 100'000;
constexpr double kMaxTensors =
    2e6;  // V3 has 92,000 with scales; a table of more would exhaust memory before any file is read
constexpr double kMaxParameters = 1e15;  // keeps every product of sizes far below 2^63

template <class Enum>
using NamedValue = std::pair<std::string_view, Enum>;

constexpr std::array<NamedValue<ModelType>, 2> kModelTypes{
    {{"deepseek_v2", ModelType::deepseek_v2}, {"deepseek_v3", ModelType::deepseek_v3}}};
constexpr std::array<NamedValue<ScoringFunc>, 2> kScoringFuncs{
    {{"softmax", ScoringFunc::softmax}, {"sigmoid", ScoringFunc::sigmoid}}};
constexpr std::array<NamedValue<TopkMethod>, 3> kTopkMethods{
    {{"greedy", TopkMethod::greedy},
     {"group_limited_greedy", TopkMethod::group_limited_greedy},
     {"noaux_tc", TopkMethod::noaux_tc}}};
enum class RopeScalingType { none, yarn };
constexpr std::array<NamedValue<RopeScalingType>, 2> kRopeScalingTypes{
    {{"yarn", RopeScalingType::yarn}, {"default", RopeScalingType::none}}};
// Fields of which hadal knows one value only.
enum class Only { known };
constexpr std::array<NamedValue<Only>, 1> kHiddenActs{{{"silu", Only::known}}};
constexpr std::array<NamedValue<Only>, 1> kQuantMethods{{{"fp8", Only::known}}};
constexpr std::array<NamedValue<Only>, 1> kFp8Formats{{{"e4m3", Only::known}}};

template <class Enum>
std::string_view name_in(std::span<const NamedValue<Enum>> names, Enum value) {
  for (const auto& [name, each] : names)
    if (each == value) return name;
  HADAL_CHECK(false);
}

// Reads fields of one object and remembers the first error, so that a page of fields needs one check at its end.
class Fields {
 public:
  Fields(const Json& object, std::string subject) : object_(object), subject_(std::move(subject)) {}

  // Null counts as absent, as in the published files.
  bool has(const char* key) const {
    const auto found = object_.find(key);
    return found != object_.end() && !found->is_null();
  }
  const Json& at(const char* key) const { return object_.at(key); }

  int required_size(const char* key, int min, int max = kMaxSize) {
    if (!has(key)) return fail(key, fmt::format("a whole number from {} to {}", min, max), "none"), min;
    return size(key, min, max, min);
  }
  int size(const char* key, int min, int max, int absent) {
    return has(key) ? size_of(key, at(key), min, max) : absent;
  }
  int size_of(const char* key, const Json& value, int min, int max) {
    if (value.is_number_integer()) {
      const bool fits = value.is_number_unsigned() ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(max)
                                                   : value.get<std::int64_t>() <= max;
      if (fits && value.get<std::int64_t>() >= min) return value.get<int>();
    }
    fail(key, fmt::format("a whole number from {} to {}", min, max), json_excerpt(value));
    return min;
  }
  double number(const char* key, double min, double max, double absent) {
    if (!has(key)) return absent;
    const double x = at(key).is_number() ? at(key).get<double>() : std::numeric_limits<double>::quiet_NaN();
    if (x >= min && x <= max) return x;
    fail(key, fmt::format("a number from {} to {}", min, max), json_excerpt(at(key)));
    return absent;
  }
  bool flag(const char* key, bool absent) {
    if (!has(key)) return absent;
    if (at(key).is_boolean()) return at(key).get<bool>();
    fail(key, "true or false", json_excerpt(at(key)));
    return absent;
  }
  // A value outside `names` is unsupported, not invalid: a newer model may well have it.
  template <class Enum, std::size_t N>
  Enum named(const char* key, const std::array<NamedValue<Enum>, N>& names, Enum absent) {
    if (!has(key)) return absent;
    if (at(key).is_string())
      for (const auto& [name, value] : names)
        if (at(key).get_ref<const std::string&>() == name) return value;
    std::vector<std::string_view> known;
    for (const auto& [name, value] : names) known.push_back(name);
    fail(key, fmt::format("{}{}", N > 1 ? "one of " : "", fmt::join(known, ", ")), json_excerpt(at(key)),
         ErrorKind::unsupported);
    return absent;
  }

  void fail(std::string_view key, std::string_view expected, std::string_view found,
            ErrorKind kind = ErrorKind::invalid) {
    if (!error_) error_ = Error{kind, fmt::format("{}: {}: expected {}, found {}", subject_, key, expected, found)};
  }
  void take_error(const Fields& other) {
    if (!error_) error_ = other.error_;
  }
  const std::optional<Error>& error() const { return error_; }
  const std::string& subject() const { return subject_; }

 private:
  const Json& object_;
  std::string subject_;
  std::optional<Error> error_;
};

void read_sizes(Fields& fields, ModelConfig& config) {
  config.vocab_size = fields.required_size("vocab_size", 1);
  config.hidden_size = fields.required_size("hidden_size", 1);
  config.num_hidden_layers = fields.required_size("num_hidden_layers", 1, kMaxLayers);
  config.num_attention_heads = fields.required_size("num_attention_heads", 1);
  config.intermediate_size = fields.required_size("intermediate_size", 1);
  config.q_lora_rank = fields.size("q_lora_rank", 1, kMaxSize, 0);
  config.kv_lora_rank = fields.required_size("kv_lora_rank", 1);
  config.qk_nope_head_dim = fields.required_size("qk_nope_head_dim", 1);
  config.qk_rope_head_dim = fields.required_size("qk_rope_head_dim", 2);
  config.v_head_dim = fields.required_size("v_head_dim", 1);
  config.max_position_embeddings = fields.required_size("max_position_embeddings", 1);
  config.num_nextn_predict_layers = fields.size("num_nextn_predict_layers", 0, kMaxLayers, 0);
  config.rms_norm_eps = fields.number("rms_norm_eps", 0, 1, 1e-6);
  config.tie_word_embeddings = fields.flag("tie_word_embeddings", false);
  if (config.qk_rope_head_dim % 2 != 0)
    fields.fail("qk_rope_head_dim", "an even number", fmt::format("{}", config.qk_rope_head_dim));
}

// What one model type leaves out of its config.json, because its own code has no other value.
void read_moe(Fields& fields, ModelConfig& config) {
  const bool v3 = config.model_type == ModelType::deepseek_v3;
  config.n_routed_experts = fields.size("n_routed_experts", 0, kMaxExperts, 0);
  config.scoring_func = fields.named("scoring_func", kScoringFuncs, v3 ? ScoringFunc::sigmoid : ScoringFunc::softmax);
  config.topk_method = fields.named("topk_method", kTopkMethods, v3 ? TopkMethod::noaux_tc : TopkMethod::greedy);
  config.norm_topk_prob = fields.flag("norm_topk_prob", v3);
  config.routed_scaling_factor = fields.number("routed_scaling_factor", 0, 1e6, v3 ? 2.5 : 1.0);
  config.n_shared_experts = fields.size("n_shared_experts", 0, kMaxExperts, 0);
  config.first_k_dense_replace = fields.size("first_k_dense_replace", 0, kMaxLayers, 0);
  config.moe_layer_freq = fields.size("moe_layer_freq", 1, kMaxLayers, 1);
  config.n_group = fields.size("n_group", 1, kMaxExperts, 1);
  config.topk_group = fields.size("topk_group", 1, kMaxExperts, 1);
  if (config.n_routed_experts == 0) {
    config.moe_intermediate_size = fields.size("moe_intermediate_size", 0, kMaxSize, 0);
    config.num_experts_per_tok = fields.size("num_experts_per_tok", 0, kMaxExperts, 0);
    return;
  }
  config.moe_intermediate_size = fields.required_size("moe_intermediate_size", 1);
  config.num_experts_per_tok = fields.required_size("num_experts_per_tok", 1, config.n_routed_experts);
}

void check_groups(Fields& fields, const ModelConfig& config) {
  if (config.n_routed_experts == 0 || config.topk_method == TopkMethod::greedy || fields.error()) return;
  const int experts = config.n_routed_experts;
  if (experts % config.n_group != 0)
    return fields.fail("n_group", fmt::format("a divisor of {} experts", experts), fmt::format("{}", config.n_group));
  const int group = experts / config.n_group;
  if (config.topk_group > config.n_group)
    return fields.fail("topk_group", fmt::format("at most n_group {}", config.n_group),
                       fmt::format("{}", config.topk_group));
  if (config.num_experts_per_tok > config.topk_group * group)
    return fields.fail("num_experts_per_tok",
                       fmt::format("at most the {} experts of {} groups", config.topk_group * group, config.topk_group),
                       fmt::format("{}", config.num_experts_per_tok));
  // A group's score is the sum of its two best (MODELS.md 4.2).
  if (config.topk_method == TopkMethod::noaux_tc && config.n_group > 1 && group < 2)
    fields.fail("n_group", "groups of at least 2 experts",
                fmt::format("{} groups of {} experts", config.n_group, experts));
}

std::optional<YarnScaling> read_yarn(Fields& rope) {
  const char* type_key = rope.has("type") ? "type" : "rope_type";  // DeepSeek's and transformers' spelling
  if (!rope.has(type_key)) {
    rope.fail("type", "yarn or default", "none");
    return std::nullopt;
  }
  if (rope.named(type_key, kRopeScalingTypes, RopeScalingType::none) == RopeScalingType::none) return std::nullopt;
  YarnScaling yarn;
  if (!rope.has("factor")) rope.fail("factor", "a number", "none");
  yarn.factor = rope.number("factor", 1, 1e6, 1);
  yarn.original_max_position_embeddings = rope.required_size("original_max_position_embeddings", 1);
  yarn.beta_fast = rope.number("beta_fast", 1e-3, 1e6, 32);
  yarn.beta_slow = rope.number("beta_slow", 1e-3, 1e6, 1);
  yarn.mscale = rope.number("mscale", 0, 1e3, 1);
  yarn.mscale_all_dim = rope.number("mscale_all_dim", 0, 1e3, 0);
  // Otherwise cos and sin would carry a factor of their own; no published model has it (MODELS.md 2.6).
  if (yarn.mscale != yarn.mscale_all_dim)
    rope.fail("mscale", "the same as mscale_all_dim", fmt::format("{} and {}", yarn.mscale, yarn.mscale_all_dim),
              ErrorKind::unsupported);
  return yarn;
}

void read_rope(Fields& fields, ModelConfig& config) {
  constexpr double kMaxTheta = 1e12;
  config.rope_theta = fields.number("rope_theta", 1.0001, kMaxTheta, 10000);
  if (!fields.flag("rope_interleave", true)) fields.fail("rope_interleave", "true", "false", ErrorKind::unsupported);
  const char* key = fields.has("rope_scaling") ? "rope_scaling" : "rope_parameters";  // the latter: transformers 5
  if (!fields.has(key)) return;
  if (!fields.at(key).is_object()) return fields.fail(key, "an object or null", json_excerpt(fields.at(key)));
  Fields rope(fields.at(key), fmt::format("{}: {}", fields.subject(), key));
  config.rope_scaling = read_yarn(rope);
  if (!fields.has("rope_theta")) config.rope_theta = rope.number("rope_theta", 1.0001, kMaxTheta, 10000);
  fields.take_error(rope);
}

void read_weight_format(Fields& fields, ModelConfig& config) {
  const char* key = "quantization_config";
  if (!fields.has(key)) return;
  if (!fields.at(key).is_object()) return fields.fail(key, "an object or null", json_excerpt(fields.at(key)));
  Fields quant(fields.at(key), fmt::format("{}: {}", fields.subject(), key));
  if (!quant.has("quant_method")) quant.fail("quant_method", "fp8", "none");
  quant.named("quant_method", kQuantMethods, Only::known);
  quant.named("fmt", kFp8Formats, Only::known);
  config.weight_format = WeightFormat::fp8_block;
  if (!quant.has("weight_block_size")) {
    quant.fail("weight_block_size", "two sizes", "none", ErrorKind::unsupported);
  } else if (const Json& block = quant.at("weight_block_size"); !block.is_array() || block.size() != 2) {
    quant.fail("weight_block_size", "two sizes", json_excerpt(block));
  } else {
    config.weight_block_rows = quant.size_of("weight_block_size", block[0], 1, kMaxSize);
    config.weight_block_cols = quant.size_of("weight_block_size", block[1], 1, kMaxSize);
  }
  fields.take_error(quant);
}

void read_tokens(Fields& fields, ModelConfig& config) {
  const int last = std::max(0, config.vocab_size - 1);
  config.bos_token_id = TokenId{fields.size("bos_token_id", 0, last, 0)};
  if (!fields.has("eos_token_id")) return;
  const Json& eos = fields.at("eos_token_id");
  const Json list = eos.is_array() ? eos : Json::array({eos});
  for (const Json& id : list) config.eos_token_ids.push_back(TokenId{fields.size_of("eos_token_id", id, 0, last)});
}

// Fields that hadal does not keep, because it knows one value of them.
void check_fixed(Fields& fields, const ModelConfig& config) {
  fields.named("hidden_act", kHiddenActs, Only::known);
  if (fields.flag("attention_bias", false)) fields.fail("attention_bias", "false", "true", ErrorKind::unsupported);
  const int heads = config.num_attention_heads;
  if (const int kv = fields.size("num_key_value_heads", 1, kMaxSize, heads); kv != heads)
    fields.fail("num_key_value_heads", fmt::format("num_attention_heads {}", heads), fmt::format("{}", kv),
                ErrorKind::unsupported);
}

// The sizes are plausible together: no product that other code forms in int or int64 can overflow.
void check_products(Fields& fields, const ModelConfig& c) {
  if (fields.error()) return;
  const auto check = [&](std::string_view what, double product, double max) {
    if (product > max) fields.fail(what, fmt::format("at most {:.3g}", max), fmt::format("{:.3g}", product));
  };
  const double heads = c.num_attention_heads, hidden = c.hidden_size;
  const double qk = static_cast<double>(c.qk_nope_head_dim) + c.qk_rope_head_dim,
               kv = static_cast<double>(c.qk_nope_head_dim) + c.v_head_dim;
  check("num_attention_heads * (qk_nope_head_dim + qk_rope_head_dim)", heads * qk, kMaxSize);
  check("num_attention_heads * (qk_nope_head_dim + v_head_dim)", heads * kv, kMaxSize);
  check("kv_lora_rank + qk_rope_head_dim", static_cast<double>(c.kv_lora_rank) + c.qk_rope_head_dim, kMaxSize);
  check("n_shared_experts * moe_intermediate_size", static_cast<double>(c.n_shared_experts) * c.moe_intermediate_size,
        kMaxSize);
  check("2 * hidden_size", 2 * hidden, kMaxSize);
  const double layers = static_cast<double>(c.num_hidden_layers) + c.num_nextn_predict_layers,
               experts = c.n_routed_experts;
  check("the number of tensors", layers * (20 + 3 * experts), kMaxTensors);
  const double mlp =
      3 * hidden * std::max<double>(c.intermediate_size, (experts + c.n_shared_experts) * c.moe_intermediate_size);
  const double attention = hidden * heads * (qk + c.v_head_dim) + c.q_lora_rank * (hidden + heads * qk) +
                           (c.kv_lora_rank + qk) * (hidden + heads * kv);
  check("the number of parameters", layers * (mlp + attention + experts * hidden) + 2.0 * c.vocab_size * hidden,
        kMaxParameters);
}

}  // namespace

Result<ModelConfig> parse_model_config(std::string_view text, std::string_view subject) {
  HADAL_ASSIGN(const Json json, parse_json(text, subject));
  if (!json.is_object())
    return Error{ErrorKind::invalid, fmt::format("{}: expected an object, found {}", subject, json_excerpt(json))};
  Fields fields(json, std::string(subject));
  ModelConfig config;
  if (!fields.has("model_type")) fields.fail("model_type", "deepseek_v2 or deepseek_v3", "none");
  config.model_type = fields.named("model_type", kModelTypes, ModelType::deepseek_v3);
  if (fields.error()) return *fields.error();  // of another model the rest would only confuse
  read_sizes(fields, config);
  read_moe(fields, config);
  check_groups(fields, config);
  read_rope(fields, config);
  read_weight_format(fields, config);
  read_tokens(fields, config);
  check_fixed(fields, config);
  check_products(fields, config);
  if (fields.error()) return *fields.error();
  return config;
}

std::string write_model_config(const ModelConfig& c) {
  const auto or_null = [](int x) { return x > 0 ? nlohmann::ordered_json(x) : nlohmann::ordered_json(nullptr); };
  const bool v3 = c.model_type == ModelType::deepseek_v3;
  nlohmann::ordered_json json = {{"architectures", {v3 ? "DeepseekV3ForCausalLM" : "DeepseekV2ForCausalLM"}},
                                 {"model_type", name_in<ModelType>(kModelTypes, c.model_type)},
                                 {"vocab_size", c.vocab_size},
                                 {"hidden_size", c.hidden_size},
                                 {"intermediate_size", c.intermediate_size},
                                 {"moe_intermediate_size", c.moe_intermediate_size},
                                 {"num_hidden_layers", c.num_hidden_layers},
                                 {"num_nextn_predict_layers", c.num_nextn_predict_layers},
                                 {"num_attention_heads", c.num_attention_heads},
                                 {"num_key_value_heads", c.num_attention_heads},
                                 {"q_lora_rank", or_null(c.q_lora_rank)},
                                 {"kv_lora_rank", c.kv_lora_rank},
                                 {"qk_nope_head_dim", c.qk_nope_head_dim},
                                 {"qk_rope_head_dim", c.qk_rope_head_dim},
                                 {"v_head_dim", c.v_head_dim},
                                 {"n_routed_experts", or_null(c.n_routed_experts)},
                                 {"n_shared_experts", or_null(c.n_shared_experts)},
                                 {"num_experts_per_tok", c.num_experts_per_tok},
                                 {"first_k_dense_replace", c.first_k_dense_replace},
                                 {"moe_layer_freq", c.moe_layer_freq},
                                 {"n_group", c.n_group},
                                 {"topk_group", c.topk_group},
                                 {"topk_method", name_in<TopkMethod>(kTopkMethods, c.topk_method)},
                                 {"scoring_func", name_in<ScoringFunc>(kScoringFuncs, c.scoring_func)},
                                 {"norm_topk_prob", c.norm_topk_prob},
                                 {"routed_scaling_factor", c.routed_scaling_factor},
                                 {"hidden_act", "silu"},
                                 {"attention_bias", false},
                                 {"rms_norm_eps", c.rms_norm_eps},
                                 {"rope_theta", c.rope_theta},
                                 {"rope_scaling", nullptr},
                                 {"max_position_embeddings", c.max_position_embeddings},
                                 {"tie_word_embeddings", c.tie_word_embeddings},
                                 {"bos_token_id", index(c.bos_token_id)},
                                 {"eos_token_id", nullptr},
                                 {"torch_dtype", "bfloat16"}};
  if (const auto& yarn = c.rope_scaling)
    json["rope_scaling"] = {{"type", "yarn"},
                            {"factor", yarn->factor},
                            {"original_max_position_embeddings", yarn->original_max_position_embeddings},
                            {"beta_fast", yarn->beta_fast},
                            {"beta_slow", yarn->beta_slow},
                            {"mscale", yarn->mscale},
                            {"mscale_all_dim", yarn->mscale_all_dim}};
  if (c.eos_token_ids.size() == 1) json["eos_token_id"] = index(c.eos_token_ids[0]);
  if (c.eos_token_ids.size() > 1) {
    json["eos_token_id"] = nlohmann::ordered_json::array();
    for (TokenId id : c.eos_token_ids) json["eos_token_id"].push_back(index(id));
  }
  if (c.weight_format == WeightFormat::fp8_block)
    json["quantization_config"] = {{"activation_scheme", "dynamic"},
                                   {"fmt", "e4m3"},
                                   {"quant_method", "fp8"},
                                   {"weight_block_size", {c.weight_block_rows, c.weight_block_cols}}};
  return json.dump(2) + "\n";
}

float softmax_scale(const ModelConfig& config) {
  double m = 1;
  if (config.rope_scaling) m = 0.1 * config.rope_scaling->mscale_all_dim * std::log(config.rope_scaling->factor) + 1;
  return static_cast<float>(m * m / std::sqrt(static_cast<double>(config.qk_head_dim())));
}

std::vector<float> rope_inverse_frequencies(const ModelConfig& config) {
  const int d = config.qk_rope_head_dim;
  const double base = config.rope_theta;
  std::vector<float> frequencies;
  double low = 0, high = 0;
  if (const auto& yarn = config.rope_scaling) {
    const auto dim_of = [&](double rotations) {
      return d * std::log(yarn->original_max_position_embeddings / (2 * std::numbers::pi * rotations)) /
             (2 * std::log(base));
    };
    low = std::max(std::floor(dim_of(yarn->beta_fast)), 0.0);
    high = std::min(std::ceil(dim_of(yarn->beta_slow)), d - 1.0);
    if (low == high) high += 0.001;
  }
  for (int i = 0; i < d / 2; ++i) {
    const double f = std::pow(base, -2.0 * i / d);
    const double keep = config.rope_scaling ? 1 - std::clamp((i - low) / (high - low), 0.0, 1.0) : 1.0;
    const double factor = config.rope_scaling ? config.rope_scaling->factor : 1.0;
    frequencies.push_back(static_cast<float>(f / factor * (1 - keep) + f * keep));
  }
  return frequencies;
}

}  // namespace hadal
