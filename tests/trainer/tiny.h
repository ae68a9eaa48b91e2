// What trainer tests share: a temporary folder, a tokenizer trained in a moment, and the recipe of a tiny run.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "trainer/data_source.h"
#include "trainer/example.h"
#include "trainer/tokenizer_maker.h"

namespace hadal {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "hadal-trainer-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

inline std::string templates_path() {
  return (std::filesystem::path(HADAL_SOURCE_DIR) / "recipes/data/word_problems.json").string();
}

// Two sources, two layers, one of them with four experts. `run` has more keys of the run, `stage` of the stage.
inline std::string tiny_recipe(const std::string& run, const std::string& stage) {
  return run + R"(
output = "model"
work = "work"
init_std = 0.05
[tokenizer]
vocab_size = 420
sample_bytes = 20000
[model]
hidden_size = 32
intermediate_size = 48
moe_intermediate_size = 16
num_hidden_layers = 2
num_attention_heads = 2
kv_lora_rank = 16
qk_nope_head_dim = 16
qk_rope_head_dim = 8
v_head_dim = 16
n_routed_experts = 4
n_shared_experts = 1
num_experts_per_tok = 2
first_k_dense_replace = 1
scoring_func = "sigmoid"
topk_method = "noaux_tc"
max_position_embeddings = 512
[[source]]
name = "drills"
kind = "generator"
generator = "drills"
[[source]]
name = "stories"
kind = "generator"
generator = "word_problems"
languages = ["en", "de"]
paths = ")" +
         templates_path() +
         "\"\n[[stage]]\nbatch_tokens = 512\nsequence_tokens = 400\nmixture = { drills = 1, stories = 3 }\n" + stage;
}

inline Recipe tiny(const std::filesystem::path& folder, const std::string& run, const std::string& stage) {
  auto recipe = parse_recipe(tiny_recipe(run, stage), folder / "tiny.toml");
  EXPECT_TRUE(recipe.ok()) << (recipe.ok() ? "" : recipe.error().message);
  return std::move(recipe).value();
}

// The same with one source, the task file of these lines, named stories.
inline Recipe tiny_tasks(const std::filesystem::path& folder, const std::string& lines, const std::string& run,
                         const std::string& stage) {
  std::ofstream(folder / "tasks.jsonl") << lines;
  std::string text = tiny_recipe(run, stage);
  const std::size_t begin = text.find("kind = \"generator\"\ngenerator = \"word_problems\""),
                    end = text.find("[[stage]]");
  text.replace(begin, end - begin, "paths = \"tasks.jsonl\"\n");
  text.replace(text.find("drills = 1, "), 12, "");
  auto recipe = parse_recipe(text, folder / "tiny.toml");
  EXPECT_TRUE(recipe.ok()) << (recipe.ok() ? "" : recipe.error().message);
  return std::move(recipe).value();
}

// Twenty questions; the numbers of the last one are as many as `of_last`.
inline std::string gcd_lines(int of_last = 2) {
  std::string lines;
  for (int i = 1; i <= 20; ++i) {
    std::string numbers = std::to_string(6 * i) + ", 6";
    for (int more = 2; i == 20 && more < of_last; ++more) numbers += ", 6";
    lines += R"({"task": "gcd", "question": "Find the Greatest Common Divisor (GCD) of these numbers: )" + numbers +
             R"(. Give only the GCD as your final answer.", "answer": "6", "meta": {"numbers": [)" + numbers + "]}}\n";
  }
  return lines;
}

struct TinyData {
  Recipe recipe = tiny("/tmp", "", "steps = 1");
  QuestionFilter none;
  std::vector<std::unique_ptr<DataSource>> sources;
  std::unique_ptr<ExampleEncoder> encoder;

  TinyData() {
    for (const SourceRecipe& source : recipe.sources) {
      auto opened = open_source(source, 7, none);
      EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : opened.error().message);
      sources.push_back(std::move(opened).value());
    }
    const auto files = train_tokenizer(recipe, sources);
    EXPECT_TRUE(files.ok()) << (files.ok() ? "" : files.error().message);
    encoder = std::make_unique<ExampleEncoder>(
        std::move(ExampleEncoder::create(std::move(make_tokenizer(*files)).value())).value());
  }
};

inline const TinyData& tiny_data() {
  static const TinyData data;  // never changed after it is made
  return data;
}

}  // namespace hadal
