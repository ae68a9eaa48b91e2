// What a GGUF file is given as keys and tensors reads back as the same model, and what is no part of it is refused.
#include "spec/gguf_export.h"

#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "spec/gguf_config.h"
#include "spec/named_shapes.h"
#include "spec/open_checkpoint.h"

namespace hadal {
namespace {

// A file with every tensor of `config` and `more`, all of them zero but what frequencies are divided by.
std::string empty_model(const TempDir& dir, const ModelConfig& config, DType type,
                        const std::vector<TensorDeclaration>& more = {}) {
  std::vector<TensorDeclaration> declarations = more;
  for (const GgufTensor& t : gguf_tensors(config, type)) declarations.push_back(t.declaration);
  GgufKeys keys = gguf_config_keys(config, "test").value();
  keys.u32("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(index(config.bos_token_id)));
  keys.u32("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(index(config.eos_token_ids[0])));
  auto writer = GgufWriter::create(dir / "m.gguf", keys, declarations);
  EXPECT_TRUE(writer.ok());
  const std::vector<float> divisors = rope_divisors(config);
  for (const TensorDeclaration& d : declarations) {
    if (d.name == "rope_freqs.weight" && !divisors.empty())
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

// --- tensors that the model does not have ---------------------------------------------------------------------------

TEST(GgufExport, TensorsThatWouldChangeTheMathematicsAreRefusedByName) {
  TempDir dir;
  const ModelConfig llama = small(*named_shape("r1-distill-llama-8b")), lite = small(*named_shape("deepseek-v2-lite"));
  const auto refused = [&](const ModelConfig& config, const std::string& name, const std::string& model) {
    const auto opened = open_checkpoint(empty_model(dir, config, DType::q8_0, {{name, DType::f32, {64}}}));
    ASSERT_FALSE(opened.ok()) << name;
    EXPECT_EQ(opened.error().kind, ErrorKind::unsupported);
    EXPECT_EQ(opened.error().message,
              "m.gguf: tensor " + name + ": expected none of this name in a " + model + " model, found [64] in F32");
  };
  for (const char* name :
       {"blk.0.attn_output.bias", "blk.0.ffn_gate.bias", "blk.3.attn_norm.bias", "blk.1.attn_q.scale",
        "blk.1.attn_k_b.weight", "blk.2.attn_q.bias", "output.bias", "output_norm.bias", "token_embd_norm.weight",
        "blk.x.attn_rot_embd", "blk.99999999999.ffn_up.bias"})
    refused(llama, name, "llama");
  for (const char* name : {"blk.0.exp_probs_b.bias", "blk.1.indexer.k_norm.weight", "rope_freqs.weight"})
    refused(lite, name, "deepseek_v2");
}

TEST(GgufExport, TensorsThatChangeNothingAreLeftAlone) {
  TempDir dir;
  const ModelConfig llama = small(*named_shape("r1-distill-llama-8b")), lite = small(*named_shape("deepseek-v2-lite"));
  const auto unused = [&](const ModelConfig& config, const std::string& name) {
    const auto opened = open_checkpoint(empty_model(dir, config, DType::q8_0, {{name, DType::f32, {64}}}));
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    EXPECT_TRUE(opened->tensors->find(name).has_value()) << name;
  };
  for (const char* name : {"blk.0.attn_rot_embd", "blk.3.attn_rot_embd.weight", "blk.4.nextn.eh_proj.weight"})
    unused(llama, name);
  unused(lite, "blk.2.attn_kv_b.weight");  // beside its halves
}

// --- keys ------------------------------------------------------------------------------------------------------------

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

TEST(GgufExport, SizesWhoseProductsOverflowAreRefused) {
  TempDir dir;
  ModelConfig v3 = *named_shape("deepseek-v3");
  v3.vocab_size = 16;
  const auto refusal = [&](int ModelConfig::*size, int value) {
    ModelConfig large = v3;
    large.*size = value;
    const auto read = read_with(dir, gguf_config_keys(large, "large").value(), large);
    return read.ok() ? "none" : read.error().message.substr((dir / "keys.gguf").string().size());
  };
  // Gate and up of the feed-forward lie in one matrix: twice as many outputs.
  EXPECT_EQ(refusal(&ModelConfig::intermediate_size, (1 << 30) + 64),
            ": key deepseek2.feed_forward_length: expected a whole number from 1 to 1000000000, found 1073741888");
  EXPECT_EQ(refusal(&ModelConfig::moe_intermediate_size, (1 << 30) + 64),
            ": key deepseek2.expert_feed_forward_length: expected a whole number from 1 to 1000000000, found "
            "1073741888");
  // Each head's query in the latent space: 3 M heads of 192 and 256 are possible, of 576 not.
  EXPECT_EQ(refusal(&ModelConfig::num_attention_heads, 3'000'000),
            ": num_attention_heads * (kv_lora_rank + qk_rope_head_dim): expected at most 1e+09, found 1.73e+09");
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
  EXPECT_EQ(type_of(lite, "token_embd.weight"), DType::q4_k);

  ModelConfig tied = *named_shape("deepseek-v2-lite");  // the embedding is the head
  tied.tie_word_embeddings = true;
  EXPECT_EQ(type_of(gguf_tensors(tied, DType::q4_k), "token_embd.weight"), DType::q6_k);
  EXPECT_EQ(type_of(gguf_tensors(tied, DType::q8_0), "token_embd.weight"), DType::q8_0);
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
