// What the trainer exports is what the loader reads, and a failed export leaves the previous one whole.
#include "spec/checkpoint_writer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/atomic_file.h"
#include "base/bf16.h"
#include "base/rng.h"
#include "base/temp_dir.h"
#include "formats/safetensors.h"
#include "spec/checkpoint.h"

namespace hadal {
namespace {

ModelConfig tiny_config() {
  ModelConfig c;
  c.vocab_size = 37;
  c.hidden_size = 20;
  c.intermediate_size = 24;
  c.moe_intermediate_size = 12;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 2;
  c.q_lora_rank = 9;
  c.kv_lora_rank = 10;
  c.qk_nope_head_dim = 6;
  c.qk_rope_head_dim = 4;
  c.v_head_dim = 5;
  c.n_routed_experts = 4;
  c.n_shared_experts = 1;
  c.num_experts_per_tok = 2;
  c.first_k_dense_replace = 1;
  c.max_position_embeddings = 128;
  c.num_nextn_predict_layers = 1;
  c.eos_token_ids = {TokenId{1}};
  return c;
}

// The value of one element: the same whatever pieces are asked for.
float value_of(const TensorSpec& spec, std::int64_t element) {
  return static_cast<float>(
      Rng(std::hash<std::string>()(spec.name), static_cast<std::uint64_t>(element)).next_normal());
}

Status fill(const TensorSpec& spec, std::int64_t first_row, std::int64_t rows, std::span<float> out) {
  const std::int64_t width = spec.elements() / spec.shape[0];
  EXPECT_EQ(static_cast<std::int64_t>(out.size()), rows * width);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = value_of(spec, first_row * width + static_cast<std::int64_t>(i));
  return Done{};
}

struct Opened {
  ModelConfig config;
  Safetensors source;
};

Opened reopen(const std::filesystem::path& directory) {
  auto config = read_model_config(directory);
  auto source = Safetensors::open(directory);
  EXPECT_TRUE(config.ok()) << config.error().message;
  EXPECT_TRUE(source.ok()) << source.error().message;
  return {*config, *std::move(source)};
}

TEST(CheckpointWriter, TheLoaderReadsBackEveryTensorRoundedToBf16) {
  TempDir dir;
  const ModelConfig config = tiny_config();
  const Status written = write_checkpoint(dir / "m", config, fill);
  ASSERT_TRUE(written.ok()) << written.error().message;
  const Opened opened = reopen(dir / "m");
  EXPECT_EQ(opened.config, config);
  const Status whole = check_checkpoint(opened.source, config, MtpLayers::include);
  EXPECT_TRUE(whole.ok()) << whole.error().message;
  for (const TensorSpec& spec : tensor_table(config)) {
    if (spec.optional) {
      EXPECT_FALSE(opened.source.find(spec.name)) << spec.name;
      continue;
    }
    const bool is_bias = spec.role == TensorRole::router_bias;
    EXPECT_EQ(opened.source.find(spec.name)->dtype, is_bias ? DType::f32 : DType::bf16) << spec.name;
    std::vector<float> x(static_cast<std::size_t>(spec.elements()));
    ASSERT_TRUE(read_rows_f32(opened.source, spec, config, 0, spec.shape[0], x.data()).ok());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float exact = value_of(spec, static_cast<std::int64_t>(i));
      ASSERT_EQ(x[i], is_bias ? exact : to_float(to_bf16(exact))) << spec.name << " " << i;
    }
  }
}

TEST(CheckpointWriter, Fp8BlocksComeBackWithinHalfAStep) {
  TempDir dir;
  ModelConfig config = tiny_config();
  config.weight_format = WeightFormat::fp8_block;
  config.weight_block_rows = 8;  // partial blocks at both edges of every matrix
  config.weight_block_cols = 8;
  ASSERT_TRUE(write_checkpoint(dir / "m", config, fill).ok());
  const Opened opened = reopen(dir / "m");
  for (const TensorSpec& spec : tensor_table(config)) {
    if (!spec.quantised_when_fp8) continue;
    EXPECT_EQ(opened.source.find(spec.name)->dtype, DType::f8_e4m3);
    std::vector<float> x(static_cast<std::size_t>(spec.elements()));
    const Status read = read_rows_f32(opened.source, spec, config, 0, spec.shape[0], x.data());
    ASSERT_TRUE(read.ok()) << read.error().message;
    double largest_error = 0, largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = value_of(spec, static_cast<std::int64_t>(i));
      largest = std::max(largest, std::abs(exact));
      largest_error = std::max(largest_error, std::abs(x[i] - exact));
    }
    // Three mantissa bits: half a step at the top of a block is 16 of 448. A wrong block's scale errs by tens of
    // percent.
    EXPECT_LT(largest_error, largest * 16.5 / 448) << spec.name;
    EXPECT_GT(largest_error, 0);
  }
}

TEST(CheckpointWriter, ShardsHoldTheSameTensors) {
  TempDir dir;
  const ModelConfig config = tiny_config();
  ASSERT_TRUE(write_checkpoint(dir / "one", config, fill).ok());
  ASSERT_TRUE(write_checkpoint(dir / "many", config, fill, {.max_shard_bytes = 4000, .more_files = {}}).ok());
  EXPECT_FALSE(std::filesystem::exists(dir / "many" / "model.safetensors"));
  const Opened one = reopen(dir / "one"), many = reopen(dir / "many");
  ASSERT_EQ(one.source.names(), many.source.names());
  for (const std::string& name : one.source.names())
    EXPECT_EQ(floats_of(*one.source.find(name)), floats_of(*many.source.find(name))) << name;
}

TEST(CheckpointWriter, SameInputGivesTheSameBytes) {
  TempDir dir;
  ASSERT_TRUE(write_checkpoint(dir / "a", tiny_config(), fill).ok());
  ASSERT_TRUE(write_checkpoint(dir / "b", tiny_config(), fill).ok());
  EXPECT_EQ(read_file(dir / "a" / "model.safetensors"), read_file(dir / "b" / "model.safetensors"));
  EXPECT_EQ(read_file(dir / "a" / "config.json"), read_file(dir / "b" / "config.json"));
}

TEST(CheckpointWriter, ANumberThatIsNotFiniteKeepsThePreviousCheckpoint) {
  TempDir dir;
  ASSERT_TRUE(write_checkpoint(dir / "m", tiny_config(), fill).ok());
  const std::string before = read_file(dir / "m" / "model.safetensors");
  const auto broken = [](const TensorSpec& spec, std::int64_t first_row, std::int64_t rows,
                         std::span<float> out) -> Status {
    HADAL_RETURN_IF_ERROR(fill(spec, first_row, rows, out));
    if (spec.role == TensorRole::lm_head) out[41] = std::numeric_limits<float>::quiet_NaN();
    return Done{};
  };
  const Status status = write_checkpoint(dir / "m", tiny_config(), broken);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message, "checkpoint: tensor lm_head.weight: expected finite numbers, found nan in row 2");
  EXPECT_EQ(read_file(dir / "m" / "model.safetensors"), before);
  EXPECT_FALSE(std::filesystem::exists(dir / "m.part"));
}

TEST(CheckpointWriter, MoreFilesAppearTogetherWithTheWeightsOrNotAtAll) {
  TempDir dir;
  CheckpointOptions options;
  options.more_files = [](const std::filesystem::path& part) {
    return write_file_atomically(part / "tokenizer.json", "{}");
  };
  ASSERT_TRUE(write_checkpoint(dir / "m", tiny_config(), fill, options).ok());
  EXPECT_EQ(read_file(dir / "m" / "tokenizer.json"), "{}");
  options.more_files = [](const std::filesystem::path&) { return Status(Error{ErrorKind::io, "disk full"}); };
  EXPECT_FALSE(write_checkpoint(dir / "n", tiny_config(), fill, options).ok());
  EXPECT_FALSE(std::filesystem::exists(dir / "n"));
}

TEST(CheckpointWriter, ReplacesAnOldCheckpointWithAllItsFiles) {
  TempDir dir;
  CheckpointOptions options;
  options.more_files = [](const std::filesystem::path& part) {
    return write_file_atomically(part / "only_in_the_first", "x");
  };
  ASSERT_TRUE(write_checkpoint(dir / "m", tiny_config(), fill, options).ok());
  ASSERT_TRUE(write_checkpoint(dir / "m", tiny_config(), fill).ok());
  EXPECT_FALSE(std::filesystem::exists(dir / "m" / "only_in_the_first"));
  EXPECT_TRUE(std::filesystem::exists(dir / "m" / "model.safetensors"));
}

}  // namespace
}  // namespace hadal
