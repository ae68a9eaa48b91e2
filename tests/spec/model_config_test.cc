// config.json: what is read, what absent fields mean, and how what hadal does not know is refused.
#include "spec/model_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "spec/published_configs.h"

namespace hadal {
namespace {

using nlohmann::json;

json v3() {
  return json::parse(kV3Json);
}
json v2_lite() {
  return json::parse(kV2LiteJson);
}
Result<ModelConfig> parse(const json& config) {
  return parse_model_config(config.dump(), "config.json");
}

TEST(ModelConfig, ReadsEveryFieldOfV3) {
  const auto result = parse(v3());
  ASSERT_TRUE(result.ok()) << result.error().message;
  const ModelConfig& c = *result;
  EXPECT_EQ(c.model_type, ModelType::deepseek_v3);
  EXPECT_EQ(c.vocab_size, 129280);
  EXPECT_EQ(c.hidden_size, 7168);
  EXPECT_EQ(c.intermediate_size, 18432);
  EXPECT_EQ(c.moe_intermediate_size, 2048);
  EXPECT_EQ(c.num_hidden_layers, 61);
  EXPECT_EQ(c.num_attention_heads, 128);
  EXPECT_EQ(c.q_lora_rank, 1536);
  EXPECT_EQ(c.latent_row_width(), 576);
  EXPECT_EQ(c.qk_head_dim(), 192);
  EXPECT_EQ(c.v_head_dim, 128);
  EXPECT_EQ(c.n_routed_experts, 256);
  EXPECT_EQ(c.n_shared_experts, 1);
  EXPECT_EQ(c.num_experts_per_tok, 8);
  EXPECT_EQ(c.n_group, 8);
  EXPECT_EQ(c.topk_group, 4);
  EXPECT_EQ(c.scoring_func, ScoringFunc::sigmoid);
  EXPECT_EQ(c.topk_method, TopkMethod::noaux_tc);
  EXPECT_TRUE(c.norm_topk_prob);
  EXPECT_EQ(c.routed_scaling_factor, 2.5);
  EXPECT_EQ(c.num_nextn_predict_layers, 1);
  EXPECT_EQ(c.weight_format, WeightFormat::fp8_block);
  EXPECT_EQ(c.bos_token_id, TokenId{0});
  EXPECT_EQ(c.eos_token_ids, std::vector{TokenId{1}});
  ASSERT_TRUE(c.rope_scaling.has_value());
  EXPECT_EQ(*c.rope_scaling, (YarnScaling{40, 4096, 32, 1, 1, 1}));
}

TEST(ModelConfig, LayersBelowFirstKAreDense) {
  const ModelConfig c = *parse(v3());
  EXPECT_FALSE(c.is_moe_layer(2));
  EXPECT_TRUE(c.is_moe_layer(3));
  EXPECT_TRUE(c.is_moe_layer(61));  // the MTP layer
}

TEST(ModelConfig, FieldsThatV2FilesLeaveOutHaveTheMeaningOfTheirOwnCode) {
  json config = v2_lite();
  for (const char* key :
       {"n_group", "topk_group", "topk_method", "scoring_func", "norm_topk_prob", "moe_layer_freq", "q_lora_rank"})
    config.erase(key);
  const auto result = parse(config);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(*result, *parse(v2_lite()));
  for (const char* key : {"n_group", "topk_group", "topk_method"}) config[key] = nullptr;
  EXPECT_EQ(*parse(config), *result);
}

TEST(ModelConfig, NullExpertsMeanADenseModel) {
  json config = v2_lite();
  for (const char* key : {"n_routed_experts", "n_shared_experts", "num_experts_per_tok", "moe_intermediate_size"})
    config[key] = nullptr;
  const auto result = parse(config);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_FALSE(result->is_moe_layer(5));
  EXPECT_EQ(*parse_model_config(write_model_config(*result), "again"), *result);
}

TEST(ModelConfig, EosMayBeAList) {
  json config = v3();
  config["eos_token_id"] = {1, 100};
  const auto result = parse(config);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->eos_token_ids, (std::vector{TokenId{1}, TokenId{100}}));
  EXPECT_EQ(*parse_model_config(write_model_config(*result), "again"), *result);
}

TEST(ModelConfig, RopeParametersOfTransformers5MeanTheSame) {
  json config = v3();
  config["rope_parameters"] = config["rope_scaling"];
  config["rope_parameters"].erase("type");
  config["rope_parameters"]["rope_type"] = "yarn";
  config["rope_parameters"]["rope_theta"] = config["rope_theta"];
  config.erase("rope_scaling");
  config.erase("rope_theta");
  const auto result = parse(config);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(*result, *parse(v3()));
}

// One field changed, and what the error must say.
struct Refusal {
  const char* name;
  json change;  // a merge patch on V3's config
  ErrorKind kind;
  const char* says;
};

class RefusedConfig : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedConfig, NamesTheFieldAndWhatHadalKnows) {
  json config = v3();
  config.merge_patch(GetParam().change);
  const auto result = parse(config);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, GetParam().kind) << result.error().message;
  EXPECT_NE(result.error().message.find(GetParam().says), std::string::npos) << result.error().message;
  EXPECT_EQ(result.error().message.find("config.json: "), 0u) << result.error().message;
  EXPECT_EQ(result.error().message.find('\n'), std::string::npos);
}

constexpr auto kUnknown = ErrorKind::unsupported;
constexpr auto kInvalid = ErrorKind::invalid;
const Refusal kRefusals[] = {
    {"model_type",
     {{"model_type", "deepseek_v4"}},
     kUnknown,
     "model_type: expected one of deepseek_v2, deepseek_v3, kimi_k2, qwen2, qwen3, llama, found \"deepseek_v4\""},
    {"no_model_type", {{"model_type", nullptr}}, kInvalid, "model_type"},
    {"scoring_func",
     {{"scoring_func", "sqrtsoftplus"}},
     kUnknown,
     "scoring_func: expected one of softmax, sigmoid, found \"sqrtsoftplus\""},
    {"topk_method",
     {{"topk_method", "best"}},
     kUnknown,
     "topk_method: expected one of greedy, group_limited_greedy, noaux_tc"},
    {"hidden_act", {{"hidden_act", "gelu"}}, kUnknown, "hidden_act: expected silu, found \"gelu\""},
    {"rope_type",
     {{"rope_scaling", {{"type", "linear"}}}},
     kUnknown,
     "rope_scaling: type: expected one of yarn, default, llama3, found \"linear\""},
    {"rope_factor", {{"rope_scaling", {{"factor", -1}}}}, kInvalid, "factor"},
    {"rope_half_split", {{"rope_interleave", false}}, kUnknown, "rope_interleave"},
    {"mscale_alone", {{"rope_scaling", {{"mscale_all_dim", 0.707}}}}, kUnknown, "mscale"},
    {"quant_method",
     {{"quantization_config", {{"quant_method", "awq"}}}},
     kUnknown,
     "quant_method: expected fp8, found \"awq\""},
    {"fp8_format", {{"quantization_config", {{"fmt", "e5m2"}}}}, kUnknown, "fmt"},
    {"no_blocks", {{"quantization_config", {{"weight_block_size", nullptr}}}}, kUnknown, "weight_block_size"},
    {"zero_block", {{"quantization_config", {{"weight_block_size", {0, 128}}}}}, kInvalid, "weight_block_size"},
    {"attention_bias", {{"attention_bias", true}}, kUnknown, "attention_bias"},
    {"grouped_heads", {{"num_key_value_heads", 8}}, kUnknown, "num_key_value_heads"},
    {"absent_size",
     {{"hidden_size", nullptr}},
     kInvalid,
     "hidden_size: expected a whole number from 1 to 1000000000, found none"},
    {"negative_size", {{"kv_lora_rank", -512}}, kInvalid, "kv_lora_rank"},
    {"zero_layers", {{"num_hidden_layers", 0}}, kInvalid, "num_hidden_layers"},
    {"fractional_size", {{"hidden_size", 7168.5}}, kInvalid, "hidden_size"},
    {"text_size", {{"hidden_size", "7168"}}, kInvalid, "hidden_size"},
    {"size_beyond_int", {{"vocab_size", 1ull << 31}}, kInvalid, "vocab_size"},
    {"size_beyond_int64", {{"vocab_size", ~0ull}}, kInvalid, "vocab_size"},
    {"heads_overflow",
     {{"num_attention_heads", 1 << 29}, {"num_key_value_heads", 1 << 29}},
     kInvalid,
     "num_attention_heads *"},
    {"latent_queries_overflow",
     {{"num_attention_heads", 3'000'000}, {"num_key_value_heads", 3'000'000}},
     kInvalid,
     "num_attention_heads * (kv_lora_rank + qk_rope_head_dim): expected at most 1e+09, found 1.73e+09"},
    {"gate_and_up_overflow",
     {{"intermediate_size", (1 << 30) + 64}},
     kInvalid,
     "intermediate_size: expected a whole number from 1 to 1000000000, found 1073741888"},
    {"shared_experts_overflow",
     {{"n_shared_experts", 4096}, {"moe_intermediate_size", 1 << 18}},
     kInvalid,
     "n_shared_experts * moe_intermediate_size: expected at most 1e+09, found 1.07e+09"},
    {"tensors_overflow",
     {{"num_hidden_layers", 100000}, {"n_routed_experts", 4096}, {"n_group", 1}, {"topk_group", 1}},
     kInvalid,
     "number of tensors"},
    {"parameters_overflow", {{"hidden_size", 1 << 29}, {"vocab_size", 1 << 29}}, kInvalid, "number of parameters"},
    {"odd_rope", {{"qk_rope_head_dim", 63}}, kInvalid, "qk_rope_head_dim: expected an even number, found 63"},
    {"more_chosen_than_experts", {{"num_experts_per_tok", 257}}, kInvalid, "num_experts_per_tok"},
    {"experts_beyond_16_bits", {{"n_routed_experts", 40000}}, kInvalid, "n_routed_experts"},
    {"uneven_groups", {{"n_group", 7}}, kInvalid, "n_group: expected a divisor of 256"},
    {"more_groups_than_there_are", {{"topk_group", 9}}, kInvalid, "topk_group"},
    {"groups_too_small", {{"topk_group", 1}, {"n_group", 64}}, kInvalid, "num_experts_per_tok: expected at most the 4"},
    {"groups_of_one", {{"n_group", 256}, {"topk_group", 8}}, kInvalid, "groups of at least 2"},
    {"negative_eps", {{"rms_norm_eps", -1e-6}}, kInvalid, "rms_norm_eps"},
    {"theta_one", {{"rope_theta", 1}}, kInvalid, "rope_theta"},
    {"eos_outside", {{"eos_token_id", 129280}}, kInvalid, "eos_token_id"},
    {"bos_negative", {{"bos_token_id", -1}}, kInvalid, "bos_token_id"},
    {"text_flag", {{"norm_topk_prob", "true"}}, kInvalid, "norm_topk_prob: expected true or false"},
};
INSTANTIATE_TEST_SUITE_P(Field, RefusedConfig, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(ModelConfig, TextThatIsNoJsonObjectIsRefusedWithItsPlace) {
  const auto broken = parse_model_config("{\n  \"model_type\": \"deepseek_v3\",\n  oops }", "m/config.json");
  ASSERT_FALSE(broken.ok());
  EXPECT_EQ(broken.error().message, "m/config.json: not JSON: line 3, column 3");
  EXPECT_FALSE(parse_model_config("", "c").ok());
  EXPECT_FALSE(parse_model_config("[]", "c").ok());
  EXPECT_FALSE(parse_model_config("\"deepseek_v3\"", "c").ok());
  EXPECT_FALSE(parse_model_config(std::string(100000, '['), "c").ok());
}

TEST(ModelConfig, AKeyGivenTwiceIsRefused) {
  std::string text = kV3Json;
  text.insert(1, "\"hidden_size\": 64, ");
  const auto result = parse_model_config(text, "config.json");
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().message.find("hidden_size"), std::string::npos);
}

}  // namespace
}  // namespace hadal
