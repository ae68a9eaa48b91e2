// config.json of the dense families and of Kimi-K2: sizes as published, both dialects of rope, and what is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "spec/published_configs.h"
#include "spec/tensor_table.h"

namespace hadal {
namespace {

using nlohmann::json;

Result<ModelConfig> parse(const json& config) {
  return parse_model_config(config.dump(), "config.json");
}
ModelConfig config_of(const json& config) {
  auto parsed = parse(config);
  EXPECT_TRUE(parsed.ok()) << parsed.error().message;
  return parsed.ok() ? *parsed : ModelConfig{};
}
json with(const char* base, const json& change) {
  json config = json::parse(base);
  config.merge_patch(change);
  return config;
}

// --- sizes -----------------------------------------------------------------------------------------------------------

json qwen_14b(int layers, int intermediate) {
  return {{"hidden_size", 5120},       {"num_hidden_layers", layers},
          {"num_attention_heads", 40}, {"num_key_value_heads", 8},
          {"rms_norm_eps", 1e-5},      {"intermediate_size", intermediate},
          {"vocab_size", 152064},      {"rope_theta", 1e6}};
}

struct Published {
  const char* name;
  json config;
  std::int64_t parameters;  // as the model's page counts its tensors
};

class DenseModel : public testing::TestWithParam<Published> {};

TEST_P(DenseModel, HasTheParametersOfItsPage) {
  const ParameterCounts counts = count_parameters(config_of(GetParam().config));
  EXPECT_EQ(counts.total, GetParam().parameters);
  EXPECT_EQ(counts.active, counts.total);
  EXPECT_EQ(counts.mtp, 0);
}

TEST_P(DenseModel, ConfigComesBackFromWhatIsWritten) {
  const ModelConfig config = config_of(GetParam().config);
  EXPECT_EQ(*parse_model_config(write_model_config(config), "again"), config);
}

INSTANTIATE_TEST_SUITE_P(R1, DenseModel,
                         testing::Values(Published{"qwen_1_5b", json::parse(kR1QwenJson), 1'777'088'000},
                                         Published{"qwen_7b",
                                                   with(kR1QwenJson, {{"hidden_size", 3584},
                                                                      {"num_attention_heads", 28},
                                                                      {"num_key_value_heads", 4},
                                                                      {"intermediate_size", 18944},
                                                                      {"vocab_size", 152064}}),
                                                   7'615'616'512},
                                         Published{"qwen_14b", with(kR1QwenJson, qwen_14b(48, 13824)), 14'770'033'664},
                                         Published{"qwen_32b", with(kR1QwenJson, qwen_14b(64, 27648)), 32'763'876'352},
                                         Published{"llama_8b", json::parse(kR1LlamaJson), 8'030'261'248},
                                         Published{"llama_70b",
                                                   with(kR1LlamaJson, {{"hidden_size", 8192},
                                                                       {"num_hidden_layers", 80},
                                                                       {"num_attention_heads", 64},
                                                                       {"intermediate_size", 28672},
                                                                       {"eos_token_id", {128001, 128008, 128009}}}),
                                                   70'553'706'496},
                                         Published{"qwen3_8b", json::parse(kR1Qwen3Json), 8'190'735'360}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(DenseConfig, ReadsWhatTellsTheFamiliesApart) {
  const ModelConfig qwen = config_of(json::parse(kR1QwenJson)), llama = config_of(json::parse(kR1LlamaJson)),
                    qwen3 = config_of(json::parse(kR1Qwen3Json));
  for (const ModelConfig* c : {&qwen, &llama, &qwen3}) {
    EXPECT_EQ(c->attention_kind, AttentionKind::gqa);
    EXPECT_EQ(c->rope_layout, RopeLayout::half_split);
    EXPECT_EQ(c->head_dim, 128);
    EXPECT_EQ(c->qk_head_dim(), 128);
    EXPECT_EQ(c->value_head_dim(), 128);
    EXPECT_EQ(c->rope_dim(), 128);
    EXPECT_EQ(c->latent_row_width(), 2 * c->num_key_value_heads * 128);
    EXPECT_FALSE(c->is_moe_layer(5));
  }
  EXPECT_EQ(qwen.model_type, ModelType::qwen2);
  EXPECT_EQ(qwen.num_key_value_heads, 2);
  EXPECT_TRUE(qwen.qkv_bias);
  EXPECT_FALSE(qwen.qk_head_norm);
  EXPECT_FALSE(llama.qkv_bias || llama.qk_head_norm);
  EXPECT_FALSE(qwen3.qkv_bias);
  EXPECT_TRUE(qwen3.qk_head_norm);
  EXPECT_EQ(llama.llama3_scaling, (Llama3Scaling{8, 1, 4, 8192}));
  EXPECT_EQ(llama.bos_token_id, TokenId{128000});
}

TEST(DenseConfig, AbsentHeadsHaveTheMeaningOfTheFamilysOwnCode) {
  const json absent = {{"num_key_value_heads", nullptr}, {"head_dim", nullptr}};
  const ModelConfig llama = config_of(with(kR1LlamaJson, absent));
  EXPECT_EQ(llama.num_key_value_heads, 32);
  EXPECT_EQ(llama.head_dim, 4096 / 32);
  // Qwen3's heads are 128 wide whatever the hidden size: 16 heads in 1024 columns make queries of 2048.
  EXPECT_EQ(config_of(with(kR1Qwen3Json, {{"head_dim", nullptr}, {"hidden_size", 1024}, {"num_attention_heads", 16}}))
                .head_dim,
            128);
}

TEST(DenseConfig, ATiedHeadIsNotCounted) {
  EXPECT_EQ(count_parameters(config_of(with(kR1QwenJson, {{"tie_word_embeddings", true}}))).total,
            1'777'088'000 - std::int64_t{151936} * 1536);  // Qwen2.5-1.5B's 1,543,714,304
}

TEST(DenseConfig, BiasesAndHeadNormsAreTensorsOfTheirFamilyOnly) {
  const auto count = [](const char* config, std::initializer_list<TensorRole> roles) {
    int n = 0;
    for (const TensorSpec& spec : tensor_table(config_of(json::parse(config))))
      n += std::find(roles.begin(), roles.end(), spec.role) != roles.end();
    return n;
  };
  const auto biases = {TensorRole::q_bias, TensorRole::k_bias, TensorRole::v_bias};
  const auto norms = {TensorRole::q_norm, TensorRole::k_norm};
  EXPECT_EQ(count(kR1QwenJson, biases), 3 * 28);
  EXPECT_EQ(count(kR1QwenJson, norms), 0);
  EXPECT_EQ(count(kR1Qwen3Json, biases), 0);
  EXPECT_EQ(count(kR1Qwen3Json, norms), 2 * 36);
  EXPECT_EQ(count(kR1LlamaJson, biases), 0);
  EXPECT_EQ(count(kR1LlamaJson, norms), 0);
}

TEST(KimiK2, IsV3UnderAnotherName) {
  ModelConfig kimi = config_of(with(kV3Json, {{"model_type", "kimi_k2"}}));
  EXPECT_EQ(kimi.model_type, ModelType::kimi_k2);
  EXPECT_EQ(*parse_model_config(write_model_config(kimi), "again"), kimi);
  kimi.model_type = ModelType::deepseek_v3;
  EXPECT_EQ(kimi, config_of(json::parse(kV3Json)));
}

TEST(KimiK2, HasTheParametersOfItsCard) {  // MODELS.md 1.1
  const json k2 = with(kV3Json, {{"model_type", "kimi_k2"},
                                 {"n_routed_experts", 384},
                                 {"num_attention_heads", 64},
                                 {"num_key_value_heads", 64},
                                 {"n_group", 1},
                                 {"topk_group", 1},
                                 {"first_k_dense_replace", 1},
                                 {"num_nextn_predict_layers", 0},
                                 {"vocab_size", 163840}});
  EXPECT_NEAR(static_cast<double>(count_parameters(config_of(k2)).total) * 1e-9, 1026.4, 0.1);
}

// --- rope ------------------------------------------------------------------------------------------------------------

// As transformers 5 writes it: theta inside, the type always there.
json in_new_dialect(json config) {
  json rope = config.contains("rope_scaling") ? config["rope_scaling"] : json{{"rope_type", "default"}};
  rope["rope_theta"] = config["rope_theta"];
  config.erase("rope_scaling");
  config.erase("rope_theta");
  config["rope_parameters"] = rope;
  return config;
}

TEST(DenseRope, ParametersOfTransformers5MeanTheSame) {
  for (const char* published : {kR1QwenJson, kR1LlamaJson, kR1Qwen3Json}) {
    const json old = json::parse(published);
    EXPECT_EQ(config_of(in_new_dialect(old)), config_of(old)) << old["model_type"];
  }
  EXPECT_EQ(config_of(in_new_dialect(json::parse(kR1LlamaJson))).rope_theta, 5e5);
}

TEST(DenseRope, TypeIsReadUnderEitherName) {
  const json yarn = {{"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  json a = with(kR1QwenJson, {{"rope_scaling", yarn}}), b = a;
  a["rope_scaling"]["type"] = b["rope_scaling"]["rope_type"] = "yarn";
  EXPECT_EQ(config_of(a), config_of(b));
  EXPECT_TRUE(config_of(a).rope_scaling.has_value());
}

ModelConfig with_yarn(const json& more) {
  json scaling = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  scaling.merge_patch(more);
  return config_of(with(kR1QwenJson, {{"rope_scaling", scaling}}));
}

TEST(DenseRope, YarnScalesScoresByTheSquareOfItsAttentionFactor) {
  const double plain = 1 / std::sqrt(128.0), usual = 0.1 * std::log(4.0) + 1;
  EXPECT_NEAR(softmax_scale(config_of(json::parse(kR1QwenJson))), plain, 1e-8);
  EXPECT_NEAR(softmax_scale(with_yarn(json::object())), plain * usual * usual, 1e-8);
  EXPECT_NEAR(softmax_scale(with_yarn({{"attention_factor", 0.9}})), plain * 0.81, 1e-8);
  EXPECT_NEAR(softmax_scale(with_yarn({{"attention_factor", 1.0}})), plain, 1e-8);
  // 0.0884; read without its attn_factor it would be 0.1146.
  EXPECT_NEAR(softmax_scale(config_of(json::parse(kR1Qwen3Json))), plain, 1e-8);
}

TEST(DenseRope, AbsentOriginalContextIsTheWholeOne) {
  EXPECT_EQ(with_yarn({{"original_max_position_embeddings", nullptr}}).rope_scaling->original_max_position_embeddings,
            131072);
}

// Without rounding, one in twenty of these comes back another number.
TEST(DenseRope, EveryAttentionFactorComesBackFromWhatIsWritten) {
  for (const double factor : {1.5, 2.0, 4.0, 8.0, 32.0, 40.0, 77.7})
    for (double attention = 0.5; attention < 2; attention += 0.0173) {
      const ModelConfig config = with_yarn({{"factor", factor}, {"attention_factor", attention}});
      ASSERT_EQ(*parse_model_config(write_model_config(config), "again"), config) << factor << ", " << attention;
    }
}

// The three branches and both sides of each border, by hand.
TEST(DenseRope, Llama3KeepsShortWavesStretchesLongOnesAndMixesBetween) {
  const ModelConfig config = config_of(json::parse(kR1LlamaJson));
  const auto found = rope_inverse_frequencies(config);
  ASSERT_EQ(found.size(), 64u);
  int kept = 0, mixed = 0, stretched = 0;
  for (int i = 0; i < 64; ++i) {
    const double f = std::pow(500000.0, -i / 64.0), wave = 2 * std::numbers::pi / f;
    double expected = f;
    if (wave > 8192) {
      expected = f / 8;
      ++stretched;
    } else if (wave >= 2048) {
      const double s = (8192 / wave - 1) / 3;
      expected = (1 - s) * f / 8 + s * f;
      EXPECT_GT(expected, f / 8);
      EXPECT_LT(expected, f);
      ++mixed;
    } else {
      ++kept;
    }
    EXPECT_NEAR(found[static_cast<std::size_t>(i)], expected, 1e-7 * expected) << i;
  }
  EXPECT_EQ(kept, 29);  // 2 pi theta^(i/64) < 2048: i < 28.2
  EXPECT_EQ(mixed, 6);  // < 8192: i < 35.0
  EXPECT_EQ(stretched, 29);
}

TEST(DenseRope, DivisorsDivideEachFrequency) {
  ModelConfig config = config_of(with(kR1LlamaJson, {{"rope_scaling", nullptr}}));
  const auto plain = rope_inverse_frequencies(config);
  for (int i = 0; i < 64; ++i) config.rope_frequency_divisors.push_back(static_cast<float>(1 + i % 8));
  const auto divided = rope_inverse_frequencies(config);
  for (std::size_t i = 0; i < 64; ++i)
    EXPECT_NEAR(divided[i], plain[i] / static_cast<float>(1 + i % 8), 1e-6f * plain[i]) << i;
}

// --- refusals --------------------------------------------------------------------------------------------------------

struct Refusal {
  const char* name;
  const char* base;
  json change;
  ErrorKind kind;
  const char* says;
};

class RefusedDenseConfig : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedDenseConfig, NamesTheFieldAndWhatHadalKnows) {
  const auto result = parse(with(GetParam().base, GetParam().change));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, GetParam().kind) << result.error().message;
  EXPECT_EQ(result.error().message.find(GetParam().says), 0u) << result.error().message;
}

json yarn_of(json more) {
  json scaling = {{"type", "yarn"}, {"factor", 4.0}};
  scaling.merge_patch(more);
  return {{"rope_scaling", scaling}};
}

constexpr auto kUnknown = ErrorKind::unsupported;
constexpr auto kInvalid = ErrorKind::invalid;
const Refusal kRefusals[] = {
    {"sliding_window",
     kR1QwenJson,
     {{"use_sliding_window", true}},
     kUnknown,
     "config.json: use_sliding_window: expected false, found true"},
    {"attention_bias",
     kR1LlamaJson,
     {{"attention_bias", true}},
     kUnknown,
     "config.json: attention_bias: expected false, found true"},
    {"attention_bias_qwen3",
     kR1Qwen3Json,
     {{"attention_bias", true}},
     kUnknown,
     "config.json: attention_bias: expected false, found true"},
    {"mlp_bias", kR1LlamaJson, {{"mlp_bias", true}}, kUnknown, "config.json: mlp_bias: expected false, found true"},
    {"uneven_heads",
     kR1LlamaJson,
     {{"num_key_value_heads", 7}},
     kInvalid,
     "config.json: num_key_value_heads: expected a divisor of 32 heads, found 7"},
    {"more_keys_than_queries",
     kR1LlamaJson,
     {{"num_key_value_heads", 64}},
     kInvalid,
     "config.json: num_key_value_heads: expected a divisor of 32 heads, found 64"},
    {"odd_head",
     kR1LlamaJson,
     {{"head_dim", 127}},
     kInvalid,
     "config.json: head_dim: expected an even number, found 127"},
    {"wide_heads",
     kR1LlamaJson,
     {{"head_dim", 1 << 27}},
     kInvalid,
     "config.json: num_attention_heads * head_dim: expected at most"},
    {"part_rotated",
     kR1LlamaJson,
     {{"partial_rotary_factor", 0.5}},
     kUnknown,
     "config.json: partial_rotary_factor: expected 1, found 0.5"},
    {"part_rotated_new_dialect",
     kR1QwenJson,
     {{"rope_parameters", {{"rope_type", "default"}, {"partial_rotary_factor", 0.25}}}},
     kUnknown,
     "config.json: rope_parameters: partial_rotary_factor: expected 1, found 0.25"},
    {"dynamic_rope",
     kR1LlamaJson,
     {{"rope_scaling", {{"rope_type", "dynamic"}}}},
     kUnknown,
     "config.json: rope_scaling: rope_type: expected one of yarn, default, llama3, found \"dynamic\""},
    {"rope_without_type",
     kR1QwenJson,
     {{"rope_parameters", {{"rope_theta", 10000}}}},
     kInvalid,
     "config.json: rope_parameters: type: expected yarn, llama3 or default, found none"},
    {"llama3_without_context",
     kR1LlamaJson,
     {{"rope_scaling", {{"original_max_position_embeddings", nullptr}}}},
     kInvalid,
     "config.json: rope_scaling: original_max_position_embeddings: expected a whole number from 1"},
    {"llama3_empty_band",
     kR1LlamaJson,
     {{"rope_scaling", {{"high_freq_factor", 1.0}}}},
     kInvalid,
     "config.json: rope_scaling: high_freq_factor: expected more than low_freq_factor 1, found 1"},
    {"llama3_with_latents",
     kV3Json,
     {{"rope_scaling", {{"type", "llama3"}}}},
     kUnknown,
     "config.json: rope_scaling: type: expected yarn or default with latent attention, found llama3"},
    {"yarn_without_factor", kR1QwenJson, yarn_of({{"factor", nullptr}}), kInvalid,
     "config.json: rope_scaling: factor: expected a number, found none"},
    {"yarn_untruncated", kR1QwenJson, yarn_of({{"truncate", false}}), kUnknown,
     "config.json: rope_scaling: truncate: expected true, found false"},
    {"yarn_mscale", kR1QwenJson, yarn_of({{"mscale", 0.707}}), kUnknown,
     "config.json: rope_scaling: mscale: expected none with grouped-query attention, found 0.707"},
    {"yarn_two_factors",
     kR1Qwen3Json,
     {{"rope_scaling", {{"attention_factor", 1.0}}}},
     kInvalid,
     "config.json: rope_scaling: attn_factor: expected none beside attention_factor, found 0.878"},
    {"yarn_factor_one", kR1QwenJson, yarn_of({{"factor", 1}, {"attention_factor", 1.2}}), kUnknown,
     "config.json: rope_scaling: attention_factor: expected 1 with factor 1, found 1.2"},
    {"mixtral",
     kR1LlamaJson,
     {{"model_type", "mixtral"}},
     kUnknown,
     "config.json: model_type: expected one of deepseek_v2, deepseek_v3, kimi_k2, qwen2, qwen3, llama, found"},
};
INSTANTIATE_TEST_SUITE_P(Field, RefusedDenseConfig, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace hadal
