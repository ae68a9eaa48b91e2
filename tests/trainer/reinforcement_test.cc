// Answers from the engine on the trainer's weights, and whole stages of reinforcement of a tiny model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <set>

#include "run_and_kill.h"
#include "tiny.h"
#include "tiny_policy.h"
#include "trainer/metrics.h"
#include "trainer/reinforcement/rollout.h"
#include "trainer/training_run.h"

namespace hadal {
namespace {

// Answers of a tiny model to a few prompts.
struct Case : TinyPolicy {
  std::vector<Rollout> rollouts;

  explicit Case(const SamplingParams& sampling) {
    const auto asked = prompts(std::vector<int>{1, 5, 9, 70});
    std::vector<RolloutRequest> requests;
    for (const auto& prompt : asked) {
      requests.push_back({prompt, sampling, 20, Trace::yes});
      requests.back().sampling.seed = requests.size();
    }
    rollouts = answers(requests);
  }

  TrainingBatch batch(double temperature, bool replay_routes, bool replay_mask) const {
    TrainingBatch batch;
    batch.temperature = temperature;
    for (std::size_t i = 0; i < rollouts.size(); ++i)
      append_rollout(rollouts[i], i == 0 ? nullptr : &rollouts[i - 1], shape, replay_routes, replay_mask, batch);
    finish_routes(shape, batch);
    return batch;
  }

  // The largest distance of the trainer's log-probability of a drawn token from the engine's.
  double mismatch(const TrainingBatch& batch) {
    const std::vector<float> nll = model->negative_log_likelihoods(batch);
    double worst = 0;
    std::size_t row = 0;
    for (const Rollout& rollout : rollouts) {
      row += static_cast<std::size_t>(rollout.prompt_tokens) - 1;
      for (const float drawn : rollout.log_probabilities)
        worst = std::max(worst, std::abs(static_cast<double>(drawn) + static_cast<double>(nll[row++])));
    }
    EXPECT_EQ(row, nll.size());
    return worst;
  }
};

// Measured: 2e-6. What is planted below is far above.
constexpr double kSame = 1e-5;

TEST(Rollout, TrainerAndEngineAgreeOnTheirProbabilities) {
  Case plain({.temperature = 1});
  EXPECT_LT(plain.mismatch(plain.batch(1, true, true)), kSame);
  EXPECT_LT(plain.mismatch(plain.batch(1, false, false)), kSame);  // the same router chooses the same experts
  EXPECT_GT(plain.mismatch(plain.batch(0.8, true, true)), 100 * kSame);
  for (const Rollout& rollout : plain.rollouts) EXPECT_TRUE(rollout.kept.empty());
}

TEST(Rollout, ReplayedRoutesAreThoseOfTheEngine) {
  Case plain({.temperature = 1});
  // Another expert bias routes otherwise; the replay does not care, because the bias weighs nothing.
  for (const ParameterSlot& slot : plain.model->slots())
    if (slot.tensor.role == TensorRole::router_bias)
      for (std::int64_t e = 0; e < slot.tensor.elements(); ++e)
        plain.model->parameters()[static_cast<std::size_t>(slot.offset + e)] = static_cast<float>(e) - 1.5f;
  plain.model->parameters_changed();
  EXPECT_LT(plain.mismatch(plain.batch(1, true, true)), kSame);
  EXPECT_GT(plain.mismatch(plain.batch(1, false, true)), 100 * kSame);
}

TEST(Rollout, TheSamplingMaskGoesWithTheAnswer) {
  for (const SamplingParams& sampling :
       {SamplingParams{.temperature = 0.7, .top_p = 0.6}, SamplingParams{.temperature = 1.3, .top_k = 5}}) {
    Case masked(sampling);
    EXPECT_LT(masked.mismatch(masked.batch(sampling.temperature, true, true)), kSame);
    EXPECT_GT(masked.mismatch(masked.batch(sampling.temperature, true, false)), 100 * kSame);
  }
}

TEST(Rollout, AnAnswerDoesNotDependOnItsNeighbours) {
  Case both({.temperature = 1});
  auto engine = RolloutEngine::create(*both.model, both.compute, 1, 100);  // one after another now
  ASSERT_TRUE(engine.ok());
  for (std::size_t i = 0; i < both.rollouts.size(); ++i) {
    const Rollout& rollout = both.rollouts[i];
    const RolloutRequest request{std::span(rollout.tokens).first(static_cast<std::size_t>(rollout.prompt_tokens)),
                                 {.temperature = 1, .seed = i + 1},
                                 20,
                                 Trace::yes};
    const auto alone = (*engine)->run(std::span(&request, 1), tiny_data().encoder->eos(), nullptr);
    ASSERT_TRUE(alone.ok());
    EXPECT_EQ((*alone)[0].tokens, rollout.tokens);
    EXPECT_EQ((*alone)[0].log_probabilities, rollout.log_probabilities);
  }
}

// An answer to what was taken in before the refused prompt would come to the next run, in its first answer's place, if
// it ends between the first and the second.
TEST(Rollout, APromptThatIsRefusedLeavesNothingBehind) {
  TinyPolicy tiny;
  const auto prompts = TinyPolicy::prompts(std::vector<int>{5, 9, 200});
  const auto request = [&](std::size_t prompt, int max_tokens) {
    return RolloutRequest{prompts[prompt], {.temperature = 1, .seed = 1}, max_tokens, Trace::yes};
  };
  auto engine = RolloutEngine::create(*tiny.model, tiny.compute, 3, 100);
  ASSERT_TRUE(engine.ok());
  const TokenId end = tiny_data().encoder->eos();
  const auto refused = (*engine)->run(std::vector{request(0, 10), request(2, 10)}, end, nullptr);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "prompt has 200 tokens; the context holds 100");
  const std::vector<RolloutRequest> requests{request(1, 5), request(1, 18)};
  const auto after = (*engine)->run(requests, end, nullptr);
  ASSERT_TRUE(after.ok());
  const std::vector<Rollout> expected = tiny.answers(requests);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ((*after)[i].tokens, expected[i].tokens) << i;
  EXPECT_EQ(expected[1].tokens.size(), 9u + 18);
}

// Gradients of another loss: a slope of -1 / n is cross-entropy, and with temperature and mask it is what differences
// say.
TEST(RowLoss, GradientsFollowTheSlope) {
  Case masked({.temperature = 0.7, .top_p = 0.9});
  const auto gradients = [&](const TrainingBatch& batch, const TrainingLosses& losses) {
    std::fill(masked.model->gradients().begin(), masked.model->gradients().end(), 0.0f);
    masked.model->forward_backward(batch, losses);
    return std::vector<float>(masked.model->gradients().begin(), masked.model->gradients().end());
  };
  const TrainingBatch plain = masked.batch(1, true, false);
  double counted = 0;
  for (const std::int32_t target : plain.targets) counted += target >= 0;
  const auto a = gradients(plain, {});
  const auto b = gradients(plain, {.slope = [&](std::size_t, double) { return -1 / counted; }});
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, static_cast<double>(std::abs(a[i] - b[i])));
    largest = std::max(largest, static_cast<double>(std::abs(a[i])));
  }
  EXPECT_LT(worst, 1e-5 * largest);

  const TrainingBatch batch = masked.batch(0.7, true, true);
  // L = sum over rows of c_t ln p_t with c_t = +-1.
  const auto weight = [](std::size_t t) { return t % 3 == 0 ? -1.0 : 1.0; };
  const auto g = gradients(batch, {.slope = [&](std::size_t t, double) { return weight(t); }});
  const auto loss = [&] {
    masked.model->parameters_changed();
    const std::vector<float> nll = masked.model->negative_log_likelihoods(batch);
    double sum = 0;
    for (std::size_t t = 0; t < nll.size(); ++t)
      if (batch.targets[t] >= 0) sum -= weight(t) * static_cast<double>(nll[t]);
    return sum;
  };
  int checked = 0;
  for (const ParameterSlot& slot : masked.model->slots()) {
    if (!slot.trained || slot.tensor.role == TensorRole::expert_gate) continue;
    const auto begin = static_cast<std::size_t>(slot.offset);
    std::size_t at = begin;  // the steepest parameter of the tensor
    for (std::size_t i = begin; i < begin + static_cast<std::size_t>(slot.tensor.elements()); ++i)
      if (std::abs(g[i]) > std::abs(g[at])) at = i;
    float& parameter = masked.model->parameters()[at];
    const float old = parameter;
    constexpr float kStep = 2e-3f;
    parameter = old + kStep;
    const double above = loss();
    parameter = old - kStep;
    const double below = loss();
    parameter = old;
    const double difference = (above - below) / (2 * static_cast<double>(kStep));
    EXPECT_NEAR(static_cast<double>(g[at]), difference, 0.02 * std::abs(difference) + 0.02) << slot.tensor.name;
    ++checked;
  }
  EXPECT_GT(checked, 10);
}

// --- stages ----------------------------------------------------------------------------------------------------------

// An untrained model writes letters of two scripts: the share of the question's own is a reward that differs.
constexpr const char* kStage =
    "kind = \"grpo\"\nsteps = 6\nquestions = 3\ngroup = 4\nanswer_tokens = 16\nupdates = 2\nkl_weight = 0.05\n"
    "reference_steps = 3\noff_policy_limit = 0.5\nreward_language = 1.0\nlearning_rate = 0.01\ntop_p = 0.95\n";

Recipe tiny_stage(const std::filesystem::path& folder, const std::string& run, const std::string& stage) {
  std::string text = tiny_recipe(run, stage);
  text.replace(text.find("drills = 1, "), 12, "");
  text.replace(text.find("\"de\""), 4, "\"ru\"");
  auto recipe = parse_recipe(text, folder / "tiny.toml");
  EXPECT_TRUE(recipe.ok()) << (recipe.ok() ? "" : recipe.error().message);
  return std::move(recipe).value();
}

std::string final_model(const std::filesystem::path& folder) {
  return bytes_of(folder / "model" / "model.safetensors");
}

TrainingOptions options_of(bool resume, int threads) {
  TrainingOptions options;
  options.resume = resume;
  options.threads = threads;
  return options;
}

TEST(Reinforcement, KilledAtAnyMomentItGoesOnToTheSameBits) {
  TemporaryFolder whole;
  const auto summary = run_training(tiny_stage(whole.path(), "", kStage), options_of(false, 1));
  ASSERT_TRUE(summary.ok()) << summary.error().message;
  const auto steps = read_metrics(whole.path() / "work/metrics.jsonl");
  ASSERT_TRUE(steps.ok());
  ASSERT_EQ(steps->size(), 6u);
  EXPECT_GT(steps->front().reinforcement->groups_kept, 1);
  EXPECT_GT(steps->back().reinforcement->kl, 0);

  for (const std::size_t kill_after : {1u, 4u}) {
    TemporaryFolder folder;
    const Recipe recipe = tiny_stage(folder.path(), "checkpoint_steps = 1\n", kStage);
    ASSERT_TRUE(run_and_kill(recipe, options_of(false, 1), kill_after));
    const auto resumed = run_training(recipe, options_of(true, 1));
    ASSERT_TRUE(resumed.ok()) << resumed.error().message;
    EXPECT_EQ(final_model(folder.path()), final_model(whole.path())) << "killed after step " << kill_after;
  }
}

TEST(Reinforcement, StopsWhenAskedWithWhatIsDone) {
  TemporaryFolder folder;
  CancelFlag cancel;
  cancel.request();
  TrainingOptions options = options_of(false, 2);
  options.cancel = &cancel;
  const Recipe recipe = tiny_stage(folder.path(), "", kStage);
  const auto stopped = run_training(recipe, options);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().kind, ErrorKind::cancelled);
  EXPECT_NE(stopped.error().message.find("--resume"), std::string::npos);
  EXPECT_TRUE(run_training(recipe, options_of(true, 2)).ok());
}

// 96 answers a step: with a quarter of them the noise of a step (0.07) hid what twenty steps give. Measured: 0.50 ->
// 0.96, with other learning rates and without the KL term 0.51 -> 0.73 to 1.00.
TEST(Reinforcement, RaisesTheReward) {
  TemporaryFolder folder;
  std::string stage = kStage;
  stage.replace(stage.find("steps = 6"), 9, "steps = 20");
  stage.replace(stage.find("questions = 3"), 13, "questions = 12");
  stage.replace(stage.find("group = 4"), 9, "group = 8");
  const auto summary = run_training(tiny_stage(folder.path(), "", stage), options_of(false, 2));
  ASSERT_TRUE(summary.ok()) << summary.error().message;
  const auto steps = read_metrics(folder.path() / "work/metrics.jsonl");
  ASSERT_TRUE(steps.ok());
  const auto mean = [&](std::size_t begin) {
    double sum = 0;
    for (std::size_t i = begin; i < begin + 3; ++i) sum += (*steps)[i].reinforcement->reward / 3;
    return sum;
  };
  EXPECT_GT(mean(17), mean(0) + 0.2) << mean(0);
}

TEST(Reinforcement, AConstantRewardIsOneLine) {
  TemporaryFolder folder;
  std::string stage = kStage;
  stage.replace(stage.find("reward_language = 1.0"), 21, "reward_language = 0.0");
  const auto summary = run_training(tiny_stage(folder.path(), "", stage), options_of(false, 2));
  ASSERT_FALSE(summary.ok());
  EXPECT_NE(summary.error().message.find("expected answers of different worth, found all 9 groups of 4 alike"),
            std::string::npos)
      << summary.error().message;
}

// Twenty questions that a tiny model learns by heart, then a stage that learns from its own right answers.
Recipe tiny_rejection(const std::filesystem::path& folder, const std::string& run) {
  return tiny_tasks(
      folder, gcd_lines(), run,
      "steps = 150\noptimizer = \"muon\"\nlearning_rate = 0.02\nkind = \"sft\"\n"
      "[[stage]]\nkind = \"rejection\"\nsteps = 4\nquestions = 40\ngroup = 4\nanswer_tokens = 40\nkeep = 2\n"
      "batch_tokens = 512\nsequence_tokens = 400\nmixture = { stories = 1 }\n");
}

TEST(Rejection, KeepsRightAnswersAndGoesOnToTheSameBits) {
  TemporaryFolder whole, parts;
  const auto summary = run_training(tiny_rejection(whole.path(), ""), options_of(false, 1));
  ASSERT_TRUE(summary.ok()) << summary.error().message;
  std::ifstream lines(whole.path() / "work/kept/rejection.jsonl");
  std::set<std::string> seen;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_TRUE(seen.insert(line).second);
    EXPECT_NE(line.find("reasoning_content"), std::string::npos);
  }
  EXPECT_GT(seen.size(), 2u);

  // In the second stage, of 4 steps, behind a checkpoint in it; one after each step of the first would take seconds.
  const Recipe recipe = tiny_rejection(parts.path(), "checkpoint_steps = 151\n");
  ASSERT_TRUE(run_and_kill(recipe, options_of(false, 1), 152));
  ASSERT_TRUE(run_training(recipe, options_of(true, 1)).ok());
  EXPECT_EQ(final_model(parts.path()), final_model(whole.path()));
}

// Merged into larger tokens, an answer spelt backward is learned by nobody.
TEST(Rejection, AnswersByLettersAreKeptAsSuch) {
  TemporaryFolder folder;
  const Recipe recipe = tiny_tasks(
      folder.path(),
      R"({"task": "spell_backward", "question": "Spell this word backward (example: sun -> nus): lantern", "answer": )"
      R"("nretnal"})",
      "",
      "steps = 150\noptimizer = \"muon\"\nlearning_rate = 0.02\nkind = \"sft\"\n"
      "[[stage]]\nkind = \"rejection\"\nsteps = 1\nquestions = 8\ngroup = 4\nanswer_tokens = 150\n"
      "batch_tokens = 512\nsequence_tokens = 400\nmixture = { stories = 1 }\n");
  const auto summary = run_training(recipe, options_of(false, 2));
  ASSERT_TRUE(summary.ok()) << summary.error().message;
  const std::string kept = bytes_of(folder.path() / "work/kept/rejection.jsonl");
  EXPECT_NE(kept.find("\"answer_by_letters\":true"), std::string::npos) << kept;
}

TEST(Reinforcement, ADryRunDrawsItsFirstQuestions) {
  TemporaryFolder folder;
  Recipe recipe = tiny_stage(folder.path(), "", kStage);
  TrainingOptions options = options_of(false, 2);
  options.dry_run = true;
  std::string said;
  options.say = [&](std::string_view line) { said += std::string(line) + "\n"; };
  const auto drawn = run_training(recipe, options);
  ASSERT_TRUE(drawn.ok()) << drawn.error().message;
  EXPECT_NE(said.find("stage grpo: the first 3 questions have "), std::string::npos) << said;
  recipe.stages[0].sequence_tokens = 8;  // each question is longer
  const auto refused = run_training(recipe, options);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("source stories: expected questions of at most 6 tokens"), std::string::npos)
      << refused.error().message;
}

TEST(Reinforcement, WithoutHeldOutQuestionsNothingIsMeasured) {
  const std::string question =
      R"({"task": "word_problems", "question": "Three boats, two sink. How many are left?", "answer": "1"})";
  for (const bool is_there : {false, true}) {
    TemporaryFolder folder;
    Recipe recipe = tiny_stage(folder.path(), "eval_every = 1\neval_paths = \"unseen.jsonl\"\n", kStage);
    recipe.stages[0].steps = 1;
    if (is_there) std::ofstream(folder.path() / "unseen.jsonl") << question;
    TrainingOptions options = options_of(false, 2);
    std::string said;
    options.say = [&](std::string_view line) { said += std::string(line) + "\n"; };
    const auto summary = run_training(recipe, options);
    ASSERT_TRUE(summary.ok()) << summary.error().message;
    EXPECT_EQ(said.find("of the held-out questions are answered right") != std::string::npos, is_there) << said;
    EXPECT_EQ(std::filesystem::exists(folder.path() / "work/answers"), is_there);
    const auto steps = read_metrics(folder.path() / "work/metrics.jsonl");
    ASSERT_TRUE(steps.ok());
    EXPECT_EQ(steps->size(), is_there ? 2u : 1u);  // the second: measured at the end
  }
}

TEST(Reinforcement, SourcesWithoutQuestionsAreRefused) {
  const auto recipe = parse_recipe(tiny_recipe("", kStage), "/tmp/tiny.toml");
  ASSERT_FALSE(recipe.ok());
  EXPECT_NE(recipe.error().message.find("expected sources of questions, found drills"), std::string::npos)
      << recipe.error().message;
}

}  // namespace
}  // namespace hadal
