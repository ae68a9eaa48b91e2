// What a GGUF file is given as keys and tensors reads back as the same model.
#include "spec/gguf_export.h"

#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "spec/gguf_config.h"
#include "spec/named_shapes.h"
#include "spec/open_checkpoint.h"

namespace hadal {
namespace {

// A file with every tensor of `config`, all of them zero but what frequencies are divided by.
std::string empty_model(const TempDir& dir, const ModelConfig& config, DType type) {
  std::vector<TensorDeclaration> declarations;
  for (const GgufTensor& t : gguf_tensors(config, type)) declarations.push_back(t.declaration);
  GgufKeys keys = gguf_config_keys(config, "test").value();
  keys.u32("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(index(config.bos_token_id)));
  keys.u32("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(index(config.eos_token_ids[0])));
  auto writer = GgufWriter::create(dir / "m.gguf", keys, declarations);
  EXPECT_TRUE(writer.ok());
  for (const TensorDeclaration& d : declarations) {
    const std::vector<float> divisors = rope_divisors(config);
    if (d.name == "rope_freqs.weight")
      EXPECT_TRUE(writer->append(std::as_bytes(std::span(divisors))).ok());
    else
      EXPECT_TRUE(writer->append(std::vector<std::byte>(d.data_bytes())).ok());
  }
  EXPECT_TRUE(writer->commit().ok());
  return dir / "m.gguf";
}

ModelConfig small(ModelConfig c) {
  c.vocab_size = 64;
  c.hidden_size = 64;
  c.intermediate_size = 96;
  c.num_hidden_layers = std::min(c.num_hidden_layers, 4);
  c.num_attention_heads = 4;
  if (c.attention_kind == AttentionKind::gqa) {
    c.num_key_value_heads = 2;
    c.head_dim = 32;
  } else {
    c.kv_lora_rank = 96;
    c.q_lora_rank = std::min(c.q_lora_rank, 48);
    c.moe_intermediate_size = 32;
    c.n_routed_experts = std::min(c.n_routed_experts, 16);
  }
  c.bos_token_id = TokenId{3};
  c.eos_token_ids = {TokenId{5}};
  return c;
}

class GgufExport : public ::testing::TestWithParam<std::string_view> {};

TEST_P(GgufExport, ConfigReadsBack) {
  TempDir dir;
  ModelConfig config = small(*named_shape(GetParam()));
  const auto opened = open_checkpoint(empty_model(dir, config, DType::q8_0));
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  ModelConfig expected = config;
  // Stored in float32.
  EXPECT_NEAR(opened->config.rms_norm_eps, config.rms_norm_eps, 1e-7 * config.rms_norm_eps);
  EXPECT_NEAR(opened->config.routed_scaling_factor, config.routed_scaling_factor, 1e-7 * config.routed_scaling_factor);
  expected.rms_norm_eps = opened->config.rms_norm_eps;
  expected.routed_scaling_factor = opened->config.routed_scaling_factor;
  if (config.attention_kind == AttentionKind::mla) expected.kv_b_form = KvBForm::split;
  if (config.model_type == ModelType::llama) {
    expected.rope_layout = RopeLayout::interleaved;
    expected.rope_frequency_divisors = rope_divisors(config);
    expected.llama3_scaling.reset();
    for (std::size_t i = 0; i < expected.rope_frequency_divisors.size(); ++i)
      EXPECT_NEAR(rope_inverse_frequencies(opened->config)[i], rope_inverse_frequencies(config)[i],
                  1e-6f * rope_inverse_frequencies(config)[i]);
  }
  if (config.first_k_dense_replace > 0 && config.n_routed_experts == 0)
    expected.first_k_dense_replace = config.num_hidden_layers;
  EXPECT_EQ(write_model_config(opened->config), write_model_config(expected));
  EXPECT_EQ(opened->config, expected);
  EXPECT_EQ(softmax_scale(opened->config), softmax_scale(config));
}

INSTANTIATE_TEST_SUITE_P(Shapes, GgufExport, ::testing::ValuesIn(shape_names().begin(), shape_names().end()),
                         [](const auto& shape) {
                           std::string name(shape.param);
                           for (char& c : name)
                             if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                           return name;
                         });

TEST(GgufExport, ExpertsThatAreChosenWithoutGroupsStayThat) {
  TempDir dir;
  ModelConfig config = small(*named_shape("deepseek-v2-lite"));
  config.topk_method = TopkMethod::greedy;
  config.n_group = config.topk_group = 4;  // says nothing to greedy
  const auto opened = open_checkpoint(empty_model(dir, config, DType::q8_0));
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->config.topk_method, TopkMethod::greedy);
}

// The config of a file with these keys and just the tensors that reading it looks at.
Result<ModelConfig> read_with(const TempDir& dir, const GgufKeys& keys, const ModelConfig& config) {
  const std::vector<TensorDeclaration> tensors{
      {"token_embd.weight", DType::f32, {config.vocab_size, config.hidden_size}},
      {"blk.3.exp_probs_b.bias", DType::f32, {config.n_routed_experts}}};
  HADAL_ASSIGN(auto writer, GgufWriter::create(dir / "keys.gguf", keys, tensors));
  for (const TensorDeclaration& d : tensors)
    HADAL_RETURN_IF_ERROR(writer.append(std::vector<std::byte>(d.data_bytes())));
  HADAL_RETURN_IF_ERROR(writer.commit());
  HADAL_ASSIGN(const Gguf gguf, Gguf::open(dir / "keys.gguf"));
  return read_gguf_config(gguf);
}

TEST(GgufExport, OlderFilesOfTheLargeModelsHaveTheirGroups) {
  TempDir dir;
  ModelConfig v3 = *named_shape("deepseek-v3");
  v3.vocab_size = 16;
  const auto named = read_with(dir, gguf_config_keys(v3, "new").value(), v3);
  ASSERT_TRUE(named.ok()) << named.error().message;
  EXPECT_EQ(named->n_group, 8);
  const auto file = Gguf::open(dir / "keys.gguf");
  ASSERT_TRUE(file.ok());
  GgufKeys older;
  for (const auto& [key, value] : file->values())
    if (key.find("expert_group") == std::string::npos) older.copy(key, value);
  ASSERT_LT(older.count(), file->values().size());
  const auto unnamed = read_with(dir, older, v3);
  ASSERT_TRUE(unnamed.ok()) << unnamed.error().message;
  EXPECT_EQ(unnamed->n_group, 8);
  EXPECT_EQ(unnamed->topk_group, 4);
  EXPECT_EQ(unnamed->topk_method, TopkMethod::noaux_tc);
}

TEST(GgufExport, WhatNoKeySaysIsRefused) {
  ModelConfig v3 = *named_shape("deepseek-v3");
  v3.moe_layer_freq = 2;
  const auto keys = gguf_config_keys(v3, "every-other");
  ASSERT_FALSE(keys.ok());
  EXPECT_EQ(keys.error().message,
            "every-other: moe_layer_freq: expected 1, which is all that a GGUF file can say, found 2");
  v3.n_routed_experts = 0;  // then it says nothing
  EXPECT_TRUE(gguf_config_keys(v3, "dense").ok());
}

TEST(GgufExport, TypesFollowTheWidthOfRows) {
  const auto type_of = [](const std::vector<GgufTensor>& tensors, const std::string& name) {
    for (const GgufTensor& t : tensors)
      if (t.declaration.name == name) return t.declaration.dtype;
    return DType::i8;
  };
  const auto lite = gguf_tensors(*named_shape("deepseek-v2-lite"), DType::q4_k);
  EXPECT_EQ(type_of(lite, "output.weight"), DType::q6_k);
  EXPECT_EQ(type_of(lite, "blk.1.ffn_gate_exps.weight"), DType::q4_k);
  EXPECT_EQ(type_of(lite, "blk.1.ffn_down_exps.weight"), DType::q5_0);  // rows of 1408
  EXPECT_EQ(type_of(lite, "blk.0.attn_k_b.weight"), DType::q5_0);       // rows of 128
  EXPECT_EQ(type_of(lite, "blk.1.ffn_gate_inp.weight"), DType::f32);
  EXPECT_EQ(type_of(lite, "blk.1.attn_norm.weight"), DType::f32);
}

TEST(NamedShapes, HaveThePublishedNumbersOfParameters) {  // MODELS.md 1.1
  EXPECT_NEAR(static_cast<double>(count_parameters(*named_shape("deepseek-v2-lite")).total), 15.706e9, 0.001e9);
  EXPECT_NEAR(static_cast<double>(count_parameters(*named_shape("deepseek-v3")).total), 671.03e9, 0.01e9);
  EXPECT_NEAR(static_cast<double>(count_parameters(*named_shape("moonlight-16b-a3b")).total), 15.96e9, 0.01e9);
  EXPECT_EQ(count_parameters(*named_shape("r1-distill-qwen-1.5b")).total, 1'777'088'000);
  EXPECT_EQ(count_parameters(*named_shape("r1-distill-llama-8b")).total, 8'030'261'248);
}

}  // namespace
}  // namespace hadal
