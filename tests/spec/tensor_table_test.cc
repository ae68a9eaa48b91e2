// The table against checkpoints that other code wrote: same names, same shapes, nothing more and nothing less.
#include "spec/tensor_table.h"

#include <gtest/gtest.h>

#include <set>

#include "formats/safetensors.h"
#include "spec/checkpoint.h"
#include "spec/published_configs.h"

namespace hadal {
namespace {

class GoldenModel : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string directory = std::string(HADAL_GOLDENS "/models/") + GetParam();
    auto read = read_model_config(directory);
    ASSERT_TRUE(read.ok()) << read.error().message;
    config_ = *read;
    auto opened = Safetensors::open(directory);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    source_.emplace(*std::move(opened));
  }
  ModelConfig config_;
  std::optional<Safetensors> source_;
};

TEST_P(GoldenModel, EveryTensorOfTheTableIsInTheFileWithItsShape) {
  for (const TensorSpec& spec : tensor_table(config_)) {
    const auto found = find_tensor(*source_, spec);
    EXPECT_TRUE(found.ok() || (spec.optional && !source_->find(spec.name))) << found.error().message;
  }
  const Status whole = check_checkpoint(*source_, config_, MtpLayers::include);
  EXPECT_TRUE(whole.ok()) << whole.error().message;
}

TEST_P(GoldenModel, EveryTensorOfTheFileIsInTheTable) {
  std::set<std::string> known;
  for (const TensorSpec& spec : tensor_table(config_)) {
    known.insert(spec.name);
    if (spec.quantised_when_fp8 && config_.weight_format == WeightFormat::fp8_block) known.insert(scale_name(spec));
  }
  for (const std::string& name : source_->names()) EXPECT_TRUE(known.contains(name)) << name;
}

TEST_P(GoldenModel, TensorsAreStoredInFp8ExactlyWhereTheTableSaysSo) {
  for (const TensorSpec& spec : tensor_table(config_)) {
    const auto stored = source_->find(spec.name);
    if (!stored) continue;
    const bool expected = spec.quantised_when_fp8 && config_.weight_format == WeightFormat::fp8_block;
    EXPECT_EQ(stored->dtype == DType::f8_e4m3, expected) << spec.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModel,
                         testing::Values("v2_lite", "v2", "v3", "v3_fp8", "v3_long", "moonlight", "qwen2", "qwen2_tied",
                                         "qwen3", "llama3", "llama_tied"),
                         [](const auto& test) { return std::string(test.param); });

TEST(TensorTable, NamesAreUniqueAndLayersAscend) {
  const auto table = tensor_table(*parse_model_config(kV3Json, "config.json"));
  std::set<std::string> names;
  int layer = 0;
  for (const TensorSpec& spec : table) {
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    if (spec.layer < 0) continue;
    EXPECT_GE(spec.layer, layer);
    layer = spec.layer;
  }
  EXPECT_EQ(layer, 61);
  EXPECT_EQ(table.front().role, TensorRole::embed_tokens);
}

TEST(TensorTable, MtpLayerOfV3HasThePublishedNames) {  // MODELS.md 5.2
  std::set<std::string> names;
  for (const TensorSpec& spec : tensor_table(*parse_model_config(kV3Json, "config.json"))) names.insert(spec.name);
  for (const char* end :
       {"embed_tokens.weight", "enorm.weight", "hnorm.weight", "eh_proj.weight", "shared_head.norm.weight",
        "shared_head.head.weight", "self_attn.kv_b_proj.weight", "mlp.experts.255.down_proj.weight"})
    EXPECT_TRUE(names.contains(std::string("model.layers.61.") + end)) << end;
}

TEST(TensorTable, TiedHeadIsOptionalAndNotCounted) {
  ModelConfig config = *parse_model_config(kMoonlightJson, "config.json");
  const std::int64_t untied = count_parameters(config).total;
  config.tie_word_embeddings = true;
  EXPECT_EQ(count_parameters(config).total, untied - std::int64_t{163840} * 2048);
}

TEST(TensorTable, OnlyBiasSteeredRoutersHaveABias) {
  for (const auto& [json, expected] : {std::pair(kV2Json, 0), std::pair(kMoonlightJson, 26)}) {
    int biases = 0;
    for (const TensorSpec& spec : tensor_table(*parse_model_config(json, "config.json")))
      biases += spec.role == TensorRole::router_bias;
    EXPECT_EQ(biases, expected);
  }
}

}  // namespace
}  // namespace hadal
