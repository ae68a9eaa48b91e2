// Twenty AdamW steps as torch makes them: losses and gradient norms of goldens/models/*/golden_training.json.
//
// Made by transformers 5.23 on torch 2.15 in float64. Our float32 runs drift from them by the noise below; a
// forgotten bias correction, decay on norms or a missing clip leaves the band within five steps (checked below).
#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "spec/checkpoint.h"
#include "trainer/gradient_file.h"
#include "trainer/optimizer.h"
#include "trainer/training_state.h"

namespace hadal {
namespace {

struct Curve {
  std::vector<double> losses, norms;
};

Curve train(const std::string& name, const OptimizerRecipe& recipe, std::size_t steps) {
  const std::filesystem::path directory = std::filesystem::path(HADAL_GOLDENS) / "models" / name;
  ThreadPool pool(2);
  const Compute compute = make_compute(pool, Arithmetic::exact);
  auto config = read_model_config(directory);
  EXPECT_TRUE(config.ok());
  auto model = TrainingModel::create(*config, compute);
  EXPECT_TRUE(model.ok());
  EXPECT_TRUE(load_parameters(directory, **model).ok());
  auto tokens = read_tokens_file(directory / "golden.safetensors");
  EXPECT_TRUE(tokens.ok());
  TrainingBatch batch;
  batch.tokens.assign(tokens->begin(), tokens->end() - 1);
  for (std::size_t i = 1; i < tokens->size(); ++i) batch.targets.push_back(index((*tokens)[i]));
  batch.starts = {0, static_cast<int>(batch.tokens.size())};
  Optimizer optimizer(compute, (*model)->slots(), OptimizerKind::adamw);
  Curve curve;
  for (std::size_t i = 0; i < steps; ++i) {
    curve.losses.push_back((*model)->forward_backward(batch, {}).loss);
    curve.norms.push_back(optimizer.gradient_norm((*model)->gradients()));
    optimizer.step(recipe, 1.0, curve.norms.back(), (*model)->parameters(), (*model)->gradients());
    (*model)->parameters_changed();
  }
  return curve;
}

Json golden(const std::string& name) {
  auto json = read_json_file(std::filesystem::path(HADAL_GOLDENS) / "models" / name / "golden_training.json");
  EXPECT_TRUE(json.ok()) << "missing golden";
  return json.ok() ? *json : Json();
}

OptimizerRecipe golden_recipe() {
  OptimizerRecipe recipe;  // as the file's "optimiser" and "clip" say
  recipe.learning_rate = 1e-3;
  recipe.beta1 = 0.9;
  recipe.beta2 = 0.95;
  recipe.epsilon = 1e-8;
  recipe.weight_decay = 0.1;
  recipe.clip_norm = 1.0;
  return recipe;
}

class GoldenTraining : public testing::TestWithParam<const char*> {};

TEST_P(GoldenTraining, TwentyStepsAreReproduced) {
  const Json want = golden(GetParam());
  const std::size_t steps = want["losses"].size();
  ASSERT_EQ(steps, 20u);
  const Curve curve = train(GetParam(), golden_recipe(), steps);
  for (std::size_t i = 0; i < steps; ++i) {
    EXPECT_NEAR(curve.losses[i], want["losses"][i].get<double>(), 1e-3) << "step " << i;
    EXPECT_NEAR(curve.norms[i], want["gradient_norms"][i].get<double>(), 2e-2) << "step " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTraining,
                         testing::Values("v2_lite", "v2", "v3", "moonlight", "qwen2", "llama_tied"),
                         [](const auto& named) { return std::string(named.param); });

TEST(GoldenTrainingBand, CatchesAMissingClipAndAMissingDecay) {
  const Json want = golden("v2_lite");
  const auto worst = [&](OptimizerRecipe recipe) {
    const Curve curve = train("v2_lite", recipe, 8);
    double difference = 0;
    for (std::size_t i = 0; i < curve.losses.size(); ++i)
      difference = std::max(difference, std::abs(curve.losses[i] - want["losses"][i].get<double>()));
    return difference;
  };
  OptimizerRecipe unclipped = golden_recipe(), undecayed = golden_recipe();
  unclipped.clip_norm = 0;
  undecayed.weight_decay = 0;
  EXPECT_GT(worst(unclipped), 2e-3);
  EXPECT_GT(worst(undecayed), 2e-4);
}

}  // namespace
}  // namespace hadal
