// What a run may begin with: weights of the same function, and of at least the tokenizer's ids.
#include <gtest/gtest.h>

#include <functional>

#include "spec/checkpoint.h"
#include "tiny.h"
#include "trainer/initialise.h"
#include "trainer/tokenizer_maker.h"
#include "trainer/training_run.h"
#include "trainer/training_state.h"

namespace hadal {
namespace {

TrainingOptions options_of(bool resume) {
  TrainingOptions options;
  options.resume = resume;
  options.threads = 2;
  return options;
}

ModelConfig tiny_config() {
  const ExampleEncoder& encoder = *tiny_data().encoder;
  return *recipe_model_config(tiny_data().recipe, {encoder.tokenizer().vocab_size(), encoder.bos(), encoder.eos()});
}

void write_start(const std::filesystem::path& directory, const ModelConfig& config, const TokenizerFiles& tokenizer) {
  ThreadPool pool(2);
  const auto model = TrainingModel::create(config, make_compute(pool, Arithmetic::exact));
  ASSERT_TRUE(model.ok()) << model.error().message;
  initialise((*model)->slots(), 3, 0.05, pool, (*model)->parameters());
  (*model)->parameters_changed();
  const Status written = write_model(directory, **model, tokenizer, 0.6);
  ASSERT_TRUE(written.ok()) << written.error().message;
}

// DeepSeek-V3 has 129280 rows for 128815 ids.
TEST(Start, MayHaveMoreRowsThanTheTokenizerHasIds) {
  TemporaryFolder folder;
  const auto files = train_tokenizer(tiny_data().recipe, tiny_data().sources);
  ASSERT_TRUE(files.ok());
  ModelConfig config = tiny_config();
  const auto run_with_rows = [&](int rows, const std::string& stage, bool resume) {
    config.vocab_size = rows;
    const std::filesystem::path start = folder.path() / ("rows" + std::to_string(rows));
    write_start(start, config, *files);
    Recipe recipe = tiny(folder.path(), "", stage);
    recipe.tokenizer_path = recipe.start = start;
    recipe.tokenizer_vocab_size = 0;
    return run_training(recipe, options_of(resume));
  };
  const int ids = config.vocab_size;
  const auto fewer = run_with_rows(ids - 5, "steps = 1\n", false);
  ASSERT_FALSE(fewer.ok());
  EXPECT_EQ(fewer.error().message, (folder.path() / ("rows" + std::to_string(ids - 5))).string() +
                                       ": vocab_size: expected at least " + std::to_string(ids) +
                                       ", as the tokenizer has ids, found " + std::to_string(ids - 5));
  for (const bool resume : {false, true}) {
    const auto summary = run_with_rows(ids + 28, resume ? "steps = 2\n" : "steps = 1\n", resume);
    ASSERT_TRUE(summary.ok()) << summary.error().message;
    EXPECT_EQ(summary->steps, resume ? 2 : 1);
    EXPECT_EQ(read_model_config(folder.path() / "model")->vocab_size, ids + 28);
  }
}

TEST(Start, OfAnotherFunctionIsRefused) {
  using Change = std::function<void(ModelConfig&)>;
  const auto yarn = [](double mscale) {
    return [mscale](ModelConfig& config) {
      config.rope_scaling = YarnScaling{.factor = 4,
                                        .original_max_position_embeddings = 128,
                                        .beta_fast = 32,
                                        .beta_slow = 1,
                                        .mscale = mscale,
                                        .mscale_all_dim = mscale};
    };
  };
  const Change none = [](ModelConfig&) {}, fewer_layers = [](ModelConfig&config) { config.num_hidden_layers = 2; };
  struct Case {
    Change found, expected;
    const char* said;
  };
  const Case cases[] = {
      {none, none, ""},
      {yarn(1), yarn(1), ""},
      // The weights of the first two layers would fit.
      {none, fewer_layers, "start: num_hidden_layers: expected 2, as the recipe's model has, found 3"},
      {none, yarn(1), "start: rope_scaling: expected inverse frequency 1 to be "},
      {yarn(1), none, "start: rope_scaling: expected inverse frequency 1 to be "},
      {yarn(1), yarn(0.5), "start: rope_scaling: expected a softmax scale of "},
  };
  for (const Case& each : cases) {
    TemporaryFolder folder;
    ModelConfig found = tiny_config();
    found.num_hidden_layers = 3;
    ModelConfig expected = found;
    each.found(found);
    each.expected(expected);
    write_start(folder.path() / "start", found, {});
    ThreadPool pool(1);
    const auto model = TrainingModel::create(expected, make_compute(pool, Arithmetic::exact));
    ASSERT_TRUE(model.ok());
    const Status loaded = load_parameters(folder.path() / "start", **model);
    EXPECT_EQ(loaded.ok(), std::string_view(each.said).empty()) << each.said;
    if (!loaded.ok()) EXPECT_TRUE(loaded.error().message.starts_with(each.said)) << loaded.error().message;
  }
}

}  // namespace
}  // namespace hadal
