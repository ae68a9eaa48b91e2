// config.json in and out, field by field; the rules that tie fields together stand in config_check.cc.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

#include "base/json.h"
#include "spec/config_check.h"

namespace hadal {
namespace {

constexpr int kMaxSize = kMaxConfigSize, kMaxExperts = kMaxConfigExperts, kMaxLayers = kMaxConfigLayers;

template <class Enum>
using NamedValue = std::pair<std::string_view, Enum>;

constexpr std::array<NamedValue<ModelType>, 6> kModelTypes{{{"deepseek_v2", ModelType::deepseek_v2},
                                                            {"deepseek_v3", ModelType::deepseek_v3},
                                                            {"kimi_k2", ModelType::kimi_k2},
                                                            {"qwen2", ModelType::qwen2},
                                                            {"qwen3", ModelType::qwen3},
                                                            {"llama", ModelType::llama}}};
constexpr std::array<NamedValue<ScoringFunc>, 2> kScoringFuncs{
    {{"softmax", ScoringFunc::softmax}, {"sigmoid", ScoringFunc::sigmoid}}};
constexpr std::array<NamedValue<TopkMethod>, 3> kTopkMethods{
    {{"greedy", TopkMethod::greedy},
     {"group_limited_greedy", TopkMethod::group_limited_greedy},
     {"noaux_tc", TopkMethod::noaux_tc}}};
enum class RopeScalingType { none, yarn, llama3 };
constexpr std::array<NamedValue<RopeScalingType>, 3> kRopeScalingTypes{
    {{"yarn", RopeScalingType::yarn}, {"default", RopeScalingType::none}, {"llama3", RopeScalingType::llama3}}};
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

bool is_dense(ModelType type) {
  return type == ModelType::qwen2 || type == ModelType::qwen3 || type == ModelType::llama;
}

void read_sizes(Fields& fields, ModelConfig& config) {
  config.vocab_size = fields.required_size("vocab_size", 1);
  config.hidden_size = fields.required_size("hidden_size", 1);
  config.num_hidden_layers = fields.required_size("num_hidden_layers", 1, kMaxLayers);
  config.num_attention_heads = fields.required_size("num_attention_heads", 1);
  config.intermediate_size = fields.required_size("intermediate_size", 1);
  config.max_position_embeddings = fields.required_size("max_position_embeddings", 1);
  config.rms_norm_eps = fields.number("rms_norm_eps", 0, 1, 1e-6);
  config.tie_word_embeddings = fields.flag("tie_word_embeddings", false);
}

// Multi-head latent attention, and the multi-token prediction that comes with it.
void read_latent_attention(Fields& fields, ModelConfig& config) {
  config.q_lora_rank = fields.size("q_lora_rank", 1, kMaxSize, 0);
  config.kv_lora_rank = fields.required_size("kv_lora_rank", 1);
  config.qk_nope_head_dim = fields.required_size("qk_nope_head_dim", 1);
  config.qk_rope_head_dim = fields.required_size("qk_rope_head_dim", 2);
  config.v_head_dim = fields.required_size("v_head_dim", 1);
  config.num_nextn_predict_layers = fields.size("num_nextn_predict_layers", 0, kMaxLayers, 0);
  const int heads = config.num_attention_heads;
  if (const int kv = fields.size("num_key_value_heads", 1, kMaxSize, heads); kv != heads)
    fields.fail("num_key_value_heads", fmt::format("num_attention_heads {}", heads), fmt::format("{}", kv),
                ErrorKind::unsupported);
  if (config.qk_rope_head_dim % 2 != 0)
    fields.fail("qk_rope_head_dim", "an even number", fmt::format("{}", config.qk_rope_head_dim));
}

// hadal turns grouped heads whole. Files of transformers 5 say it among the rope parameters, older ones at the top.
void refuse_part_rotated(Fields& fields) {
  const char* key = "partial_rotary_factor";
  if (const double part = fields.number(key, 0, 1, 1); part != 1)
    fields.fail(key, "1", fmt::format("{}", part), ErrorKind::unsupported);
}

// Grouped-query attention. What a model type does not say in its config.json its own code has as a constant.
void read_grouped_attention(Fields& fields, ModelConfig& config) {
  config.attention_kind = AttentionKind::gqa;
  config.rope_layout = RopeLayout::half_split;
  const int heads = config.num_attention_heads;
  config.num_key_value_heads = fields.size("num_key_value_heads", 1, kMaxSize, heads);
  const int share = std::max(2, config.hidden_size / std::max(1, heads));
  config.head_dim = fields.size("head_dim", 2, kMaxSize, config.model_type == ModelType::qwen3 ? 128 : share);
  config.qkv_bias = config.model_type == ModelType::qwen2;
  config.qk_head_norm = config.model_type == ModelType::qwen3;
  if (fields.flag("use_sliding_window", false))
    fields.fail("use_sliding_window", "false", "true", ErrorKind::unsupported);
  if (fields.flag("mlp_bias", false)) fields.fail("mlp_bias", "false", "true", ErrorKind::unsupported);
  refuse_part_rotated(fields);
}

// What one model type leaves out of its config.json, because its own code has no other value.
void read_moe(Fields& fields, ModelConfig& config) {
  const bool v3 = config.model_type != ModelType::deepseek_v2;
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

// The other families scale cosines and sines, hence q·k by the square: what mscale_all_dim says in DeepSeek's. Returns
// that; to nine places, so that a file that hadal writes says the same again.
double read_attention_factor(Fields& rope, double factor) {
  for (const char* key : {"mscale", "mscale_all_dim"})
    if (rope.has(key))
      rope.fail(key, "none with grouped-query attention", json_excerpt(rope.at(key)), ErrorKind::unsupported);
  const double logarithm = 0.1 * std::log(factor);
  double scale = logarithm + 1;
  if (rope.has("attn_factor")) {  // R1-0528-Qwen3-8B: on top of the usual one, which it takes back
    if (rope.has("attention_factor"))
      rope.fail("attn_factor", "none beside attention_factor", json_excerpt(rope.at("attn_factor")));
    scale *= rope.number("attn_factor", 1e-3, 1e3, 1);
  }
  scale = rope.number("attention_factor", 1e-3, 1e3, scale);
  if (logarithm > 0) return std::round((scale - 1) / logarithm * 1e9) / 1e9;
  if (scale != 1) rope.fail("attention_factor", "1 with factor 1", fmt::format("{}", scale), ErrorKind::unsupported);
  return 0;
}

YarnScaling read_yarn(Fields& rope, const ModelConfig& config) {
  YarnScaling yarn;
  if (!rope.has("factor")) rope.fail("factor", "a number", "none");
  yarn.factor = rope.number("factor", 1, 1e6, 1);
  const bool latent = config.attention_kind == AttentionKind::mla;
  yarn.original_max_position_embeddings =
      latent ? rope.required_size("original_max_position_embeddings", 1)
             : rope.size("original_max_position_embeddings", 1, kMaxSize, config.max_position_embeddings);
  yarn.beta_fast = rope.number("beta_fast", 1e-3, 1e6, 32);
  yarn.beta_slow = rope.number("beta_slow", 1e-3, 1e6, 1);
  if (!rope.flag("truncate", true)) rope.fail("truncate", "true", "false", ErrorKind::unsupported);
  if (!latent) {
    yarn.mscale = yarn.mscale_all_dim = read_attention_factor(rope, yarn.factor);
    return yarn;
  }
  yarn.mscale = rope.number("mscale", 0, 1e3, 1);
  yarn.mscale_all_dim = rope.number("mscale_all_dim", 0, 1e3, 0);
  // Otherwise cos and sin would carry a factor of their own; no published model has it (MODELS.md 2.6).
  if (yarn.mscale != yarn.mscale_all_dim)
    rope.fail("mscale", "the same as mscale_all_dim", fmt::format("{} and {}", yarn.mscale, yarn.mscale_all_dim),
              ErrorKind::unsupported);
  return yarn;
}

Llama3Scaling read_llama3(Fields& rope) {
  Llama3Scaling scaling;
  scaling.factor = rope.number("factor", 1, 1e6, scaling.factor);
  scaling.low_freq_factor = rope.number("low_freq_factor", 1e-3, 1e6, scaling.low_freq_factor);
  scaling.high_freq_factor = rope.number("high_freq_factor", 1e-3, 1e6, scaling.high_freq_factor);
  scaling.original_max_position_embeddings = rope.required_size("original_max_position_embeddings", 1);
  if (scaling.high_freq_factor <= scaling.low_freq_factor)
    rope.fail("high_freq_factor", fmt::format("more than low_freq_factor {}", scaling.low_freq_factor),
              fmt::format("{}", scaling.high_freq_factor));
  return scaling;
}

void read_rope_scaling(Fields& rope, ModelConfig& config) {
  const char* type_key = rope.has("type") ? "type" : "rope_type";  // DeepSeek's and transformers' spelling
  if (!rope.has(type_key)) return rope.fail("type", "yarn, llama3 or default", "none");
  switch (rope.named(type_key, kRopeScalingTypes, RopeScalingType::none)) {
    case RopeScalingType::none:
      return;
    case RopeScalingType::yarn:
      config.rope_scaling = read_yarn(rope, config);
      return;
    case RopeScalingType::llama3:
      if (config.attention_kind == AttentionKind::mla)
        return rope.fail(type_key, "yarn or default with latent attention", "llama3", ErrorKind::unsupported);
      config.llama3_scaling = read_llama3(rope);
  }
}

void read_rope(Fields& fields, ModelConfig& config) {
  constexpr double kMaxTheta = 1e12;
  config.rope_theta = fields.number("rope_theta", 1.0001, kMaxTheta, 10000);
  if (config.attention_kind == AttentionKind::mla && !fields.flag("rope_interleave", true))
    fields.fail("rope_interleave", "true", "false", ErrorKind::unsupported);
  const char* key = fields.has("rope_scaling") ? "rope_scaling" : "rope_parameters";  // the latter: transformers 5
  if (!fields.has(key)) return;
  if (!fields.at(key).is_object()) return fields.fail(key, "an object or null", json_excerpt(fields.at(key)));
  Fields rope(fields.at(key), fmt::format("{}: {}", fields.subject(), key));
  read_rope_scaling(rope, config);
  if (config.attention_kind == AttentionKind::gqa) refuse_part_rotated(rope);
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
void check_fixed(Fields& fields) {
  fields.named("hidden_act", kHiddenActs, Only::known);
  if (fields.flag("attention_bias", false)) fields.fail("attention_bias", "false", "true", ErrorKind::unsupported);
}

}  // namespace

Result<ModelConfig> parse_model_config(std::string_view text, std::string_view subject) {
  HADAL_ASSIGN(const Json json, parse_json(text, subject));
  if (!json.is_object())
    return Error{ErrorKind::invalid, fmt::format("{}: expected an object, found {}", subject, json_excerpt(json))};
  Fields fields(json, std::string(subject));
  ModelConfig config;
  if (!fields.has("model_type")) fields.fail("model_type", "a model type such as deepseek_v3", "none");
  config.model_type = fields.named("model_type", kModelTypes, ModelType::deepseek_v3);
  if (fields.error()) return *fields.error();  // of another model the rest would only confuse
  read_sizes(fields, config);
  if (is_dense(config.model_type)) {
    read_grouped_attention(fields, config);
  } else {
    read_latent_attention(fields, config);
    read_moe(fields, config);
  }
  read_rope(fields, config);
  read_weight_format(fields, config);
  read_tokens(fields, config);
  check_fixed(fields);
  if (fields.error()) return *fields.error();
  HADAL_RETURN_IF_ERROR(check_model_config(config, subject));
  return config;
}

namespace {

using Ordered = nlohmann::ordered_json;

const char* architecture_of(ModelType type) {
  switch (type) {
    case ModelType::deepseek_v2:
      return "DeepseekV2ForCausalLM";
    case ModelType::qwen2:
      return "Qwen2ForCausalLM";
    case ModelType::qwen3:
      return "Qwen3ForCausalLM";
    case ModelType::llama:
      return "LlamaForCausalLM";
    default:
      return "DeepseekV3ForCausalLM";
  }
}

void write_latent_attention(const ModelConfig& c, Ordered& json) {
  json["num_key_value_heads"] = c.num_attention_heads;
  json["q_lora_rank"] = c.q_lora_rank > 0 ? Ordered(c.q_lora_rank) : Ordered(nullptr);
  json["kv_lora_rank"] = c.kv_lora_rank;
  json["qk_nope_head_dim"] = c.qk_nope_head_dim;
  json["qk_rope_head_dim"] = c.qk_rope_head_dim;
  json["v_head_dim"] = c.v_head_dim;
  json["num_nextn_predict_layers"] = c.num_nextn_predict_layers;
}

void write_moe(const ModelConfig& c, Ordered& json) {
  json["moe_intermediate_size"] = c.moe_intermediate_size;
  json["n_routed_experts"] = c.n_routed_experts > 0 ? Ordered(c.n_routed_experts) : Ordered(nullptr);
  json["n_shared_experts"] = c.n_shared_experts > 0 ? Ordered(c.n_shared_experts) : Ordered(nullptr);
  json["num_experts_per_tok"] = c.num_experts_per_tok;
  json["first_k_dense_replace"] = c.first_k_dense_replace;
  json["moe_layer_freq"] = c.moe_layer_freq;
  json["n_group"] = c.n_group;
  json["topk_group"] = c.topk_group;
  json["topk_method"] = name_in<TopkMethod>(kTopkMethods, c.topk_method);
  json["scoring_func"] = name_in<ScoringFunc>(kScoringFuncs, c.scoring_func);
  json["norm_topk_prob"] = c.norm_topk_prob;
  json["routed_scaling_factor"] = c.routed_scaling_factor;
}

Ordered rope_scaling_json(const ModelConfig& c) {
  if (const auto& yarn = c.rope_scaling) {
    Ordered json = {{"type", "yarn"},
                    {"factor", yarn->factor},
                    {"original_max_position_embeddings", yarn->original_max_position_embeddings},
                    {"beta_fast", yarn->beta_fast},
                    {"beta_slow", yarn->beta_slow}};
    if (c.attention_kind == AttentionKind::mla) {
      json["mscale"] = yarn->mscale;
      json["mscale_all_dim"] = yarn->mscale_all_dim;
    } else {
      json["attention_factor"] = 0.1 * yarn->mscale_all_dim * std::log(yarn->factor) + 1;
    }
    return json;
  }
  if (const auto& scaling = c.llama3_scaling)
    return {{"rope_type", "llama3"},
            {"factor", scaling->factor},
            {"low_freq_factor", scaling->low_freq_factor},
            {"high_freq_factor", scaling->high_freq_factor},
            {"original_max_position_embeddings", scaling->original_max_position_embeddings}};
  return nullptr;
}

}  // namespace

std::string write_model_config(const ModelConfig& c) {
  Ordered json = {{"architectures", {architecture_of(c.model_type)}},
                  {"model_type", name_of(c.model_type)},
                  {"vocab_size", c.vocab_size},
                  {"hidden_size", c.hidden_size},
                  {"intermediate_size", c.intermediate_size},
                  {"num_hidden_layers", c.num_hidden_layers},
                  {"num_attention_heads", c.num_attention_heads}};
  if (c.attention_kind == AttentionKind::mla) {
    write_latent_attention(c, json);
    write_moe(c, json);
  } else {
    json["num_key_value_heads"] = c.num_key_value_heads;
    json["head_dim"] = c.head_dim;
  }
  json["hidden_act"] = "silu";
  json["attention_bias"] = false;
  json["rms_norm_eps"] = c.rms_norm_eps;
  json["rope_theta"] = c.rope_theta;
  json["rope_scaling"] = rope_scaling_json(c);
  json["max_position_embeddings"] = c.max_position_embeddings;
  json["tie_word_embeddings"] = c.tie_word_embeddings;
  json["bos_token_id"] = index(c.bos_token_id);
  json["eos_token_id"] = nullptr;
  json["torch_dtype"] = "bfloat16";
  if (c.eos_token_ids.size() == 1) json["eos_token_id"] = index(c.eos_token_ids[0]);
  if (c.eos_token_ids.size() > 1) {
    json["eos_token_id"] = Ordered::array();
    for (TokenId id : c.eos_token_ids) json["eos_token_id"].push_back(index(id));
  }
  if (c.weight_format == WeightFormat::fp8_block)
    json["quantization_config"] = {{"activation_scheme", "dynamic"},
                                   {"fmt", "e4m3"},
                                   {"quant_method", "fp8"},
                                   {"weight_block_size", {c.weight_block_rows, c.weight_block_cols}}};
  return json.dump(2) + "\n";
}

std::string_view name_of(ModelType type) {
  return name_in<ModelType>(kModelTypes, type);
}

}  // namespace hadal
