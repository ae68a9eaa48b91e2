// generation_config.json: what it says is taken, what it leaves out is hadal's own, and what it says wrongly is named.
#include "chat/generation_config.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/temp_dir.h"

namespace hadal {
namespace {

GenerationConfig parsed(std::string_view json) {
  const auto config = parse_generation_config(json, "g.json");
  EXPECT_TRUE(config.ok()) << (config.ok() ? "" : config.error().message);
  return config.ok() ? *config : GenerationConfig{};
}

std::string error_of(std::string_view json) {
  const auto config = parse_generation_config(json, "g.json");
  return config.ok() ? "no error" : config.error().message;
}

TEST(GenerationConfig, EmptyOneIsDeepSeeksOwnNumbers) {
  for (const char* json : {"{}", R"({"temperature": null, "top_p": null, "eos_token_id": null, "do_sample": null})"}) {
    const GenerationConfig config = parsed(json);
    EXPECT_EQ(config.sampling.temperature, 0.6);
    EXPECT_EQ(config.sampling.top_p, 0.95);
    EXPECT_EQ(config.sampling.top_k, 0);
    EXPECT_EQ(config.sampling.min_p, 0);
    EXPECT_FALSE(config.sampling.seed);
    EXPECT_TRUE(config.eos_token_ids.empty());
  }
}

TEST(GenerationConfig, WhatTheFileLeavesOutIsTheCards) {
  SamplingOptions card;
  card.temperature = 0.7;
  card.top_p = 0.8;
  card.top_k = 20;
  const auto config = parse_generation_config(R"({"top_p": 0.5})", "g.json", card);
  EXPECT_EQ(config->sampling.temperature, 0.7);
  EXPECT_EQ(config->sampling.top_p, 0.5);
  EXPECT_EQ(config->sampling.top_k, 20);
  TempDir dir;
  EXPECT_EQ(read_generation_config(dir.path(), card)->sampling.top_k, 20);
}

TEST(GenerationConfig, EveryFieldArrivesAndOthersAreLeftAlone) {
  const GenerationConfig config = parsed(
      R"({"_from_model_config": true, "transformers_version": "4.46.3", "bos_token_id": 0, "do_sample": true,
          "temperature": 0.3, "top_p": 0.5, "top_k": 40.0, "min_p": 0.05, "eos_token_id": 1})");
  EXPECT_EQ(config.sampling.temperature, 0.3);
  EXPECT_EQ(config.sampling.top_p, 0.5);
  EXPECT_EQ(config.sampling.top_k, 40);
  EXPECT_EQ(config.sampling.min_p, 0.05);
  EXPECT_EQ(config.eos_token_ids, std::vector{TokenId{1}});
}

TEST(GenerationConfig, SeveralTokensMayEndAnAnswer) {
  EXPECT_EQ(parsed(R"({"eos_token_id": [1, 100001]})").eos_token_ids, (std::vector{TokenId{1}, TokenId{100001}}));
}

TEST(GenerationConfig, DoSampleFalseIsGreedyWhateverTheTemperature) {
  EXPECT_EQ(parsed(R"({"do_sample": false, "temperature": 0.9})").sampling.temperature, 0);
  EXPECT_EQ(parsed(R"({"do_sample": true, "temperature": 0.9})").sampling.temperature, 0.9);
}

struct Refusal {
  std::string json, error;
};

TEST(GenerationConfig, EachBadValueGivesOneLineThatNamesItAndWhatWasFound) {
  const std::vector<Refusal> table{
      {"", "g.json: not JSON: line 1, column 1"},
      {"[]", "g.json: the file: expected an object, found []"},
      {R"({"temperature": "warm"})", "g.json: temperature: expected a number, found \"warm\""},
      {R"({"temperature": -0.5})", "g.json: temperature: expected 0 to 100, found -0.5"},
      {R"({"temperature": 101})", "g.json: temperature: expected 0 to 100, found 101"},
      {R"({"top_p": 0})", "g.json: top_p: expected above 0 and at most 1, found 0"},
      {R"({"top_p": 1.5})", "g.json: top_p: expected above 0 and at most 1, found 1.5"},
      {R"({"top_p": [0.5]})", "g.json: top_p: expected a number, found [0.5]"},
      {R"({"min_p": 2})", "g.json: min_p: expected 0 to 1, found 2"},
      {R"({"top_k": -1})", "g.json: top_k: expected a count, found -1"},
      {R"({"top_k": 2.5})", "g.json: top_k: expected a count, found 2.5"},
      {R"({"top_k": 1e12})", "g.json: top_k: expected a count, found 1000000000000.0"},
      {R"({"do_sample": "no"})", "g.json: do_sample: expected true or false, found \"no\""},
      {R"({"eos_token_id": -1})", "g.json: eos_token_id: expected a token id or a list of them, found -1"},
      {R"({"eos_token_id": 1.5})", "g.json: eos_token_id: expected a token id or a list of them, found 1.5"},
      {R"({"eos_token_id": [1, "2"]})", "g.json: eos_token_id: expected a token id or a list of them, found [1,\"2\"]"},
      {R"({"eos_token_id": 4294967296})",
       "g.json: eos_token_id: expected a token id or a list of them, found 4294967296"},
      {R"({"eos_token_id": 18446744073709551615})",
       "g.json: eos_token_id: expected a token id or a list of them, found 18446744073709551615"},
  };
  for (const Refusal& row : table) EXPECT_EQ(error_of(row.json), row.error) << row.json;
}

TEST(GenerationConfig, AGgufFileSaysTheSameInKeys) {
  TempDir dir;
  const auto written = [&](const GgufKeys& keys) {
    auto writer = GgufWriter::create(dir / "m.gguf", keys, {});
    EXPECT_TRUE(writer.ok() && writer->commit().ok());
    return read_generation_config(dir / "m.gguf", {.temperature = 0.7, .top_p = 0.8, .top_k = 9, .seed = {}});
  };
  GgufKeys keys;
  keys.string("general.architecture", "deepseek2");
  const auto silent = written(keys);
  ASSERT_TRUE(silent.ok()) << silent.error().message;
  EXPECT_FALSE(silent->says_sampling);
  EXPECT_EQ(silent->sampling.top_k, 9);
  add_sampling_keys({.temperature = 0, .top_p = 0.95, .top_k = 40, .min_p = 0.05, .seed = {}}, keys);
  const auto told = written(keys);
  ASSERT_TRUE(told.ok()) << told.error().message;
  EXPECT_TRUE(told->says_sampling);
  EXPECT_EQ(told->sampling.temperature, 0);
  EXPECT_EQ(told->sampling.top_p, 0.95);  // and not 0.949999988
  EXPECT_EQ(told->sampling.top_k, 40);
  EXPECT_EQ(told->sampling.min_p, 0.05);
  GgufKeys wrong;
  wrong.f32("general.sampling.top_p", 7);
  EXPECT_EQ(written(wrong).error().message,
            (dir / "m.gguf").string() + ": top_p: expected above 0 and at most 1, found 7");
}

TEST(GenerationConfig, AbsentFileIsNoErrorABrokenOneNamesItsPath) {
  TempDir dir;
  const auto absent = read_generation_config(dir.path());
  ASSERT_TRUE(absent.ok());
  EXPECT_EQ(absent->sampling.temperature, 0.6);
  write_file(dir / "generation_config.json", "{\"top_p\": 7}");
  const auto broken = read_generation_config(dir.path());
  ASSERT_FALSE(broken.ok());
  EXPECT_EQ(broken.error().message,
            (dir / "generation_config.json").string() + ": top_p: expected above 0 and at most 1, found 7");
}

TEST(CheckSampling, WhatIsNoNumberIsRefused) {  // JSON has no NaN, but callers do
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(check_sampling({.temperature = nan, .seed = {}}).ok());
  EXPECT_FALSE(check_sampling({.top_p = nan, .seed = {}}).ok());
  EXPECT_FALSE(check_sampling({.min_p = nan, .seed = {}}).ok());
  EXPECT_FALSE(check_sampling({.temperature = std::numeric_limits<double>::infinity(), .seed = {}}).ok());
  EXPECT_FALSE(check_sampling({.top_k = -1, .seed = {}}).ok());
  EXPECT_TRUE(check_sampling({}).ok());
  EXPECT_TRUE(check_sampling({.temperature = 0, .top_p = 1, .top_k = 1, .min_p = 1, .seed = {}}).ok());
}

}  // namespace
}  // namespace hadal
