// inspect, logits, gradients and perplexity on the golden V3: what scripts read has the shape they rely on, and every
// way to ask for the same numbers gives the same numbers.
#include <gmock/gmock.h>

#include <cmath>

#include "base/json.h"
#include "chat/tiny_model.h"
#include "cli/process.h"
#include "formats/safetensors.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;
using Rows = std::vector<std::vector<float>>;

const std::string kModel = fs::path(HADAL_GOLDENS) / "models/v3";
constexpr std::size_t kVocabulary = 131;

Json json_of(const Outcome& outcome) {
  EXPECT_EQ(outcome.status, 0) << outcome.err;  // which may say how far it is
  const auto json = parse_json(outcome.out, "stdout");
  EXPECT_TRUE(json.ok()) << outcome.out.substr(0, 200);
  return json.ok() ? *json : Json();
}

// In float32: what was printed from a float is that float again.
Rows logits(const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"logits", kModel, "--threads", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  Json json = json_of(run_hadal(arguments));
  EXPECT_EQ(json.size(), 1u);
  return json.value("logits", Rows{});
}

std::vector<int> golden_tokens(std::size_t count) {
  const auto file = Safetensors::open(fs::path(kModel) / "golden.safetensors");
  EXPECT_TRUE(file.ok());
  const std::vector<std::int64_t> all = integers_of(*file->find("tokens"));
  return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)};
}

std::string joined(const std::vector<int>& ids) {
  std::string text;
  for (const int id : ids) text += (text.empty() ? "" : ",") + std::to_string(id);
  return text;
}

// |x - golden| over |golden|, where row t of x stands beside row `first` + t of the golden logits [T, V].
double distance_to_golden(const Rows& rows, std::size_t first) {
  const auto file = Safetensors::open(fs::path(kModel) / "golden.safetensors");
  const std::vector<float> golden = floats_of(*file->find("logits"));
  double difference = 0, size = 0;
  for (std::size_t t = 0; t < rows.size(); ++t)
    for (std::size_t v = 0; v < kVocabulary; ++v) {
      const double expected = golden[(first + t) * kVocabulary + v];
      difference += std::pow(rows[t][v] - expected, 2);
      size += std::pow(expected, 2);
    }
  return std::sqrt(difference / size);
}

TEST(Logits, AreARowOfTheVocabularyForEachPosition) {
  const Rows rows = logits({"--tokens", joined(golden_tokens(8)), "--exact"});
  ASSERT_EQ(rows.size(), 8u);
  for (const auto& row : rows) ASSERT_EQ(row.size(), kVocabulary);
  // Measured: 8e-7, the goldens' own noise (goldens_test.cc has the rest). Rows off by one: 1.4.
  EXPECT_LT(distance_to_golden(rows, 0), 1e-5);
  EXPECT_GT(distance_to_golden(rows, 1), 0.5);
}

TEST(Logits, PositionsFilesAndStepsGiveTheSameNumbers) {
  TempDir folder;
  const std::vector<int> tokens = golden_tokens(6);
  const Rows all = logits({"--tokens", joined(tokens), "--exact"});
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(logits({"--tokens", joined(tokens), "--exact", "--positions", "0,5"}), (Rows{all[0], all[5]}));

  write_file(folder / "tokens.json", Json(tokens).dump());
  EXPECT_EQ(logits({"--tokens-file", folder / "tokens.json", "--exact"}), all);

  const std::string out = folder / "out.safetensors";
  EXPECT_EQ(expect_done(run_hadal({"logits", kModel, "--tokens", joined(tokens), "--exact", "--out", out})), "");
  const auto file = Safetensors::open(out);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->find("logits")->shape, (std::vector<std::int64_t>{6, kVocabulary}));
  std::vector<float> flat;
  for (const auto& row : all) flat.insert(flat.end(), row.begin(), row.end());
  EXPECT_EQ(floats_of(*file->find("logits")), flat);

  const Rows steps =
      logits({"--tokens", joined(tokens), "--exact", "--stepwise"});  // other sums: measured 6e-6 of some 5
  ASSERT_EQ(steps.size(), 6u);
  for (std::size_t t = 0; t < steps.size(); ++t)
    for (std::size_t v = 0; v < kVocabulary; ++v) ASSERT_NEAR(steps[t][v], all[t][v], 5e-5) << t << " " << v;
}

TEST(Inspect, JsonHasTheConfigTheCountsAndTheBytes) {
  Json json = json_of(run_hadal({"inspect", kModel, "--json"}));
  EXPECT_EQ(json["model_type"], "deepseek_v3");
  EXPECT_EQ(json["vocab_size"], kVocabulary);
  EXPECT_EQ(json["mtp_layers"], 1);
  ASSERT_EQ(json["layers"].size(), 3u);
  EXPECT_EQ(json["layers"][0], Json({{"layer", 0}, {"ffn", "dense"}}));
  EXPECT_EQ(json["layers"][1], Json({{"layer", 1}, {"ffn", "moe"}}));
  EXPECT_EQ(json["attention"]["kv_lora_rank"], 20);
  EXPECT_EQ(json["moe"]["experts"], 16);
  EXPECT_EQ(json["cache_bytes_per_token"], 3 * (20 + 8) * 2);  // layers, latent and rotated key, bf16
  std::int64_t parameters = 0, bytes = 0;
  for (const auto& [name, part] : json["parts"].items()) {
    parameters += part["parameters"].get<std::int64_t>();
    bytes += part["bytes"].get<std::int64_t>();
  }
  EXPECT_EQ(json["parameters"]["total"].get<std::int64_t>() + json["parameters"]["mtp"].get<std::int64_t>(),
            parameters);
  EXPECT_LT(json["parameters"]["active"], json["parameters"]["total"]);
  EXPECT_EQ(json["stored"]["bytes"], bytes);
  EXPECT_EQ(json["stored"]["unused_tensors"], 0);
}

TEST(Inspect, PictureNamesLayersAndSizes) {
  const std::string picture = expect_done(run_hadal({"inspect", kModel}));
  for (const char* words :
       {"v3: deepseek_v3", "4 of 16 experts of width 24", "MLA, 3 heads", "embedding [131, 48]", "in all"})
    EXPECT_THAT(picture, ::testing::HasSubstr(words));
}

TEST(Inspect, GroupedQueriesAreNotCalledLatents) {
  const std::string models = HADAL_GOLDENS "/models/";
  const std::string llama = expect_done(run_hadal({"inspect", models + "llama3"})),
                    qwen2 = expect_done(run_hadal({"inspect", models + "qwen2"})),
                    qwen3 = expect_done(run_hadal({"inspect", models + "qwen3"}));
  for (const std::string& picture : {llama, qwen2, qwen3}) {
    EXPECT_THAT(picture, ::testing::Not(::testing::HasSubstr("MLA")));
    EXPECT_THAT(picture, ::testing::Not(::testing::HasSubstr("latent")));
    EXPECT_THAT(picture, ::testing::HasSubstr("3.0 times as much"));  // 6 heads share 2
  }
  EXPECT_THAT(llama, ::testing::HasSubstr("grouped queries, 6 heads of 8\n"));
  EXPECT_THAT(llama, ::testing::HasSubstr("cached of a token and layer: 2 key and value heads of 8\n"));
  EXPECT_THAT(llama, ::testing::HasSubstr("RoPE base 500000, llama3 x 8 beyond 8192 tokens"));
  EXPECT_THAT(qwen2, ::testing::HasSubstr("6 heads of 8, with biases\n"));
  EXPECT_THAT(qwen3, ::testing::HasSubstr("6 heads of 16, queries and keys normalised\n"));
  const Json json = json_of(run_hadal({"inspect", models + "qwen3", "--json"}));
  EXPECT_EQ(json["attention"]["kind"], "gqa");
  EXPECT_EQ(json["attention"]["key_value_heads"], 2);
  EXPECT_EQ(json["attention"]["head_dim"], 16);
  EXPECT_EQ(json["cache_bytes_per_token"], 3 * 2 * (16 + 16) * 2);  // layers, heads, value and key, bf16
}

TEST(Gradients, PrintTheLossOfTheGoldenTrainingAndWriteEveryTrainedTensor) {
  TempDir folder;
  const std::string out = folder / "out.safetensors";
  Json json = json_of(run_hadal(
      {"gradients", kModel, "--tokens-file", fs::path(kModel) / "golden.safetensors", "--out", out, "--threads", "1"}));
  const auto training = read_json_file(fs::path(kModel) / "golden_training.json");
  const auto file = Safetensors::open(out),
             golden = Safetensors::open(fs::path(kModel) / "golden_gradients.safetensors");
  ASSERT_TRUE(training.ok() && file.ok() && golden.ok());
  EXPECT_NEAR(json["loss"].get<double>(), training->at("losses").at(0).get<double>(), 1e-5);  // measured: 6e-8
  EXPECT_EQ(file->names(), golden->names());
}

TEST(Perplexity, IsTheExponentialOfTheMeanOfWhatEachTokenCosts) {
  TempDir folder;
  testing::write_babbler(folder / "m");
  write_file(folder / "text.txt", "the deep sea is dark and cold");
  Json json = json_of(
      run_hadal({"perplexity", folder / "m", folder / "text.txt", "--exact", "--nll", "--json", "--threads", "1"}));
  double sum = 0;
  for (const Json& nll : json["nll"]) sum += nll.get<double>();
  const double count = static_cast<double>(json["nll"].size());
  EXPECT_EQ(json["tokens"], json["nll"].size());
  EXPECT_GT(count, 3);
  EXPECT_NEAR(json["mean_nll"].get<double>(), sum / count, 1e-9);
  EXPECT_NEAR(json["perplexity"].get<double>(), std::exp(sum / count), 1e-6 * std::exp(sum / count));
}

}  // namespace
}  // namespace hadal
