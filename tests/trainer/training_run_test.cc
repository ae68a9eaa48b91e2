// Whole runs of a tiny model: what `hadal train` promises about checkpoints, interruptions and bad worlds.
#include "trainer/training_run.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <chrono>
#include <cmath>
#include <thread>

#include "base/json.h"
#include "run_and_kill.h"
#include "spec/checkpoint.h"
#include "spec/open_checkpoint.h"
#include "tiny.h"
#include "trainer/metrics.h"
#include "trainer/training_state.h"

namespace hadal {
namespace {

constexpr const char* kTenSteps = "steps = 10\noptimizer = \"muon\"\nlearning_rate = 0.01\n";
constexpr const char* kEveryTwo = "checkpoint_steps = 2\n";

TrainingOptions options_of(bool resume) {
  TrainingOptions options;
  options.resume = resume;
  options.threads = 2;
  return options;
}

// Everything a published model is, as bytes.
std::string model_bytes(const std::filesystem::path& folder) {
  std::string all;
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"})
    all += bytes_of(folder / "model" / name);
  return all;
}

const std::string& uninterrupted() {
  static const std::string bytes = [] {
    TemporaryFolder folder;
    const Recipe recipe = tiny(folder.path(), kEveryTwo, kTenSteps);
    const auto summary = run_training(recipe, options_of(false));
    EXPECT_TRUE(summary.ok()) << (summary.ok() ? "" : summary.error().message);
    return model_bytes(folder.path());
  }();
  return bytes;
}

TEST(TrainingRun, WritesAModelMetricsAndAReport) {
  TemporaryFolder folder;
  const Recipe recipe = tiny(folder.path(), "watts = 50\nprice_per_kwh = 0.3\n", kTenSteps);
  const auto summary = run_training(recipe, options_of(false));
  ASSERT_TRUE(summary.ok()) << summary.error().message;
  EXPECT_EQ(summary->steps, 10);
  for (const char* name : {"model/config.json", "model/model.safetensors", "model/tokenizer.json",
                           "model/tokenizer_config.json", "model/generation_config.json", "work/report.html"})
    EXPECT_TRUE(std::filesystem::exists(folder.path() / name)) << name;
  const auto steps = read_metrics(folder.path() / "work/metrics.jsonl");
  ASSERT_TRUE(steps.ok());
  ASSERT_EQ(steps->size(), 10u);
  EXPECT_EQ(steps->back().step, 10);
  EXPECT_EQ(steps->back().tokens, summary->tokens);
  EXPECT_LT(steps->back().loss, steps->front().loss - 0.2);  // it learns
  const auto config = read_model_config(folder.path() / "model");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->vocab_size, 420);
  EXPECT_NE(bytes_of(folder.path() / "model/generation_config.json").find("\"temperature\": 0.6"), std::string::npos);
  EXPECT_NE(generation_config_json(*config, 0).find("\"do_sample\": false"), std::string::npos);  // greedy
}

TEST(TrainingRun, TheSameRecipeGivesTheSameBits) {
  TemporaryFolder folder;
  const Recipe recipe = tiny(folder.path(), "", kTenSteps);  // without the checkpoints in between
  ASSERT_TRUE(run_training(recipe, options_of(false)).ok());
  EXPECT_EQ(model_bytes(folder.path()), uninterrupted());
}

// What a source gives follows from its name and the seed, not from its place in the list.
TEST(TrainingRun, AnotherSourceThatIsNotDrawnChangesNothing) {
  TemporaryFolder folder;
  Recipe recipe = tiny(folder.path(), "", kTenSteps);
  SourceRecipe other = recipe.sources.front();
  other.name = "more_drills";
  recipe.sources.insert(recipe.sources.begin(), other);
  for (std::vector<double>* weights : {&recipe.stages[0].weights, &recipe.stages[0].weights_at_end})
    weights->insert(weights->begin(), 0.0);
  ASSERT_TRUE(run_training(recipe, options_of(false)).ok());
  EXPECT_EQ(model_bytes(folder.path()), uninterrupted());
}

TEST(TrainingRun, StopsWithACheckpointWhenAskedAndGoesOnToTheSameBits) {
  TemporaryFolder folder;
  const Recipe recipe = tiny(folder.path(), "", kTenSteps);
  CancelFlag cancel;
  cancel.request();
  TrainingOptions options = options_of(false);
  options.cancel = &cancel;
  const auto stopped = run_training(recipe, options);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().kind, ErrorKind::cancelled);
  EXPECT_NE(stopped.error().message.find("--resume"), std::string::npos);
  ASSERT_EQ(list_checkpoints(recipe.work).size(), 1u);
  ASSERT_TRUE(run_training(recipe, options_of(true)).ok());
  EXPECT_EQ(model_bytes(folder.path()), uninterrupted());
}

TEST(TrainingRun, KilledAtAnyMomentItGoesOnToTheSameBits) {
  uninterrupted();
  for (const std::size_t kill_after : {3u, 6u}) {
    TemporaryFolder folder;
    const Recipe recipe = tiny(folder.path(), kEveryTwo, kTenSteps);
    ASSERT_TRUE(run_and_kill(recipe, options_of(false), kill_after));
    const auto resumed = run_training(recipe, options_of(true));
    ASSERT_TRUE(resumed.ok()) << resumed.error().message;
    EXPECT_EQ(model_bytes(folder.path()), uninterrupted()) << "killed after step " << kill_after;
    const auto steps = read_metrics(recipe.work / "metrics.jsonl");
    ASSERT_TRUE(steps.ok());
    ASSERT_EQ(steps->size(), 10u);  // no step twice, none missing
    for (std::size_t i = 0; i < steps->size(); ++i) EXPECT_EQ((*steps)[i].step, static_cast<std::int64_t>(i + 1));
  }
}

TEST(TrainingRun, AFullDiskLeavesTheLastCheckpointAndOneLine) {
  TemporaryFolder folder;
  ASSERT_TRUE(run_training(tiny(folder.path(), "", "steps = 1\n"), options_of(false)).ok());
  const Recipe recipe = tiny(folder.path(), "checkpoint_steps = 1\n", "steps = 3\n");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {  // no file of this process may pass 50 kB: the state of the next checkpoint does
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{50000, 50000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const auto run = run_training(recipe, options_of(true));
    const std::string said = run.ok() ? "" : run.error().message;
    _exit(write(ends[1], said.data(), said.size()) == static_cast<ssize_t>(said.size()) ? 0 : 1);
  }
  close(ends[1]);
  char said[1000];
  const ssize_t bytes = read(ends[0], said, sizeof said);
  close(ends[0]);
  waitpid(child, nullptr, 0);
  ASSERT_GT(bytes, 0);
  const std::string message(said, static_cast<std::size_t>(bytes));
  EXPECT_NE(message.find("File too large"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  const auto checkpoints = list_checkpoints(recipe.work);
  ASSERT_EQ(checkpoints.size(), 1u);
  EXPECT_TRUE(run_training(recipe, options_of(true)).ok());  // with room again it goes on
}

TEST(TrainingRun, StagesFollowOneAnother) {
  TemporaryFolder folder;
  const std::string second =
      "[[stage]]\nname = \"second\"\nkind = \"sft\"\nsteps = 3\nbatch_tokens = 512\nsequence_tokens = 400\n"
      "optimizer = \"adamw\"\n";
  const Recipe recipe = tiny(folder.path(), "", "steps = 2\noptimizer = \"muon\"\n" + second);
  const auto summary = run_training(recipe, options_of(false));
  ASSERT_TRUE(summary.ok()) << summary.error().message;
  const auto steps = read_metrics(recipe.work / "metrics.jsonl");
  ASSERT_TRUE(steps.ok());
  ASSERT_EQ(steps->size(), 5u);
  EXPECT_EQ((*steps)[1].stage, "pretrain");
  EXPECT_EQ((*steps)[2].stage, "second");
}

TEST(TrainingRun, KeepsTheLastCheckpointsOnly) {
  TemporaryFolder folder;
  const Recipe recipe = tiny(folder.path(), "checkpoint_steps = 1\nkeep_checkpoints = 2\n", "steps = 5\n");
  ASSERT_TRUE(run_training(recipe, options_of(false)).ok());
  const auto checkpoints = list_checkpoints(recipe.work);
  ASSERT_EQ(checkpoints.size(), 2u);
  EXPECT_EQ(checkpoints[0], checkpoint_path(recipe.work, 4));
  EXPECT_EQ(checkpoints[1], checkpoint_path(recipe.work, 5));
}

TEST(TrainingRun, AnEarlierRunIsNotOverwritten) {
  TemporaryFolder folder;
  const Recipe recipe = tiny(folder.path(), "", "steps = 1\n");
  ASSERT_TRUE(run_training(recipe, options_of(false)).ok());
  const auto again = run_training(recipe, options_of(false));
  ASSERT_FALSE(again.ok());
  EXPECT_NE(again.error().message.find("--resume"), std::string::npos) << again.error().message;
}

TEST(TrainingRun, ASecondOneInItsFolderIsRefused) {
  TemporaryFolder folder;
  const Recipe recipe = tiny(folder.path(), "", kTenSteps);
  TrainingOptions options = options_of(false);
  std::vector<std::string> refusals;
  options.say = [&](std::string_view) {
    const auto second = run_training(recipe, options_of(true));
    refusals.push_back(second.ok() ? "" : second.error().message);
  };
  ASSERT_TRUE(run_training(recipe, options).ok());
  ASSERT_GT(refusals.size(), 1u);
  for (const std::string& refusal : refusals)
    EXPECT_NE(refusal.find("expected no other run that is using this folder"), std::string::npos) << refusal;
  EXPECT_EQ(model_bytes(folder.path()), uninterrupted());
  EXPECT_EQ(read_metrics(recipe.work / "metrics.jsonl")->size(), 10u);
}

TEST(TrainingRun, AnItemThatCannotBeWorkedOutIsPassedOverAndCounted) {
  TemporaryFolder folder;
  const Recipe recipe = tiny_tasks(folder.path(), gcd_lines(/*of_last=*/3), "", "steps = 5\n");
  TrainingOptions options = options_of(false);
  std::string said;
  options.say = [&](std::string_view line) { said += std::string(line) + "\n"; };
  const auto summary = run_training(recipe, options);
  ASSERT_TRUE(summary.ok()) << summary.error().message;
  EXPECT_NE(said.find("stage pretrain: items passed over so far: "), std::string::npos) << said;
  EXPECT_NE(said.find(" of stories (held out, "), std::string::npos) << said;
}

TEST(TrainingRun, ItsHeldOutQuestionsAreNotTrainedOn) {
  TemporaryFolder folder;
  const Recipe recipe =
      tiny_tasks(folder.path(), gcd_lines(), "eval_paths = \"gcd.jsonl\"\neval_items = 1\n", "steps = 1\n");
  std::ofstream(folder.path() / "gcd.jsonl") << gcd_lines();
  const auto refused = run_training(recipe, options_of(false));
  ASSERT_FALSE(refused.ok());  // they are all that it has
  EXPECT_NE(refused.error().message.find("source stories: expected examples of at most 400 tokens, found none in 10000 "
                                         "tries (the last: held out or of unknown steps)"),
            std::string::npos)
      << refused.error().message;
}

TEST(TrainingRun, TheTokenizerOfARunGoesWithItsCheckpoints) {
  TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "work/tokenizer");
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"})  // of a run that never came to one
    std::ofstream(folder.path() / "work/tokenizer" / name) << "{}";
  Recipe recipe = tiny(folder.path(), "", "steps = 1\n");
  const auto begun = run_training(recipe, options_of(true));
  ASSERT_TRUE(begun.ok()) << begun.error().message;
  recipe.tokenizer_vocab_size = 430;
  recipe.stages[0].steps = 2;
  const auto resumed = run_training(recipe, options_of(true));
  ASSERT_FALSE(resumed.ok());
  EXPECT_NE(
      resumed.error().message.find("tokenizer: vocab_size: expected 420, which the run's tokenizer was made with, "
                                   "found 430"),
      std::string::npos)
      << resumed.error().message;
}

TEST(TrainingRun, AnotherModelsCheckpointIsRefused) {
  TemporaryFolder folder;
  const Recipe recipe = tiny(folder.path(), "", "steps = 1\n");
  ASSERT_TRUE(run_training(recipe, options_of(false)).ok());
  std::string text = tiny_recipe("", "steps = 2\n");
  text.replace(text.find("num_experts_per_tok = 2"), 23, "num_experts_per_tok = 3");
  const auto changed = parse_recipe(text, folder.path() / "tiny.toml");
  ASSERT_TRUE(changed.ok());
  const auto resumed = run_training(*changed, options_of(true));
  ASSERT_FALSE(resumed.ok());
  EXPECT_NE(resumed.error().message.find("expected a run of this recipe"), std::string::npos)
      << resumed.error().message;
}

TEST(TrainingRun, ACheckpointOfMoreSourcesIsRefused) {
  TemporaryFolder folder;
  ASSERT_TRUE(run_training(tiny(folder.path(), "", "steps = 1\n"), options_of(false)).ok());
  Recipe fewer = tiny(folder.path(), "", "steps = 2\n");
  fewer.sources.pop_back();
  fewer.stages[0].weights = fewer.stages[0].weights_at_end = {1.0};
  const auto resumed = run_training(fewer, options_of(true));
  ASSERT_FALSE(resumed.ok());
  EXPECT_NE(resumed.error().message.find("expected a run of at most 1 sources, as the recipe has, found 2"),
            std::string::npos)
      << resumed.error().message;
}

TEST(TrainingRun, HeldOutFilesThatAreAbsentAreLeftOut) {
  TemporaryFolder folder;
  const Recipe recipe = tiny(folder.path(), "eval_paths = \"none.jsonl\"\neval_every = 1\n", "steps = 1\n");
  TrainingOptions options = options_of(false);
  std::string said;
  options.say = [&](std::string_view line) { said += line; };
  ASSERT_TRUE(run_training(recipe, options).ok());
  EXPECT_NE(said.find("none.jsonl: left out, the file is absent"), std::string::npos) << said;
}

TEST(TrainingRun, TextCanBeHeldOut) {
  TemporaryFolder folder;
  const auto write = [&](const char* name, const std::string& text) { std::ofstream(folder.path() / name) << text; };
  std::string digits, letters;  // what the model reads is digits for the most part
  for (int i = 0; i < 2000; ++i) digits += std::to_string(i % 97) + "+" + std::to_string(i % 89) + "\n";
  for (int i = 0; i < 2000; ++i) letters += static_cast<char>('a' + i * i % 26);
  write("digits.txt", digits);
  write("letters.txt", letters);
  const std::string three = "eval_paths = [\"digits.txt\", \"letters.txt\"]\neval_items = 3\neval_every = 1\n";
  ASSERT_TRUE(run_training(tiny(folder.path(), three, kTenSteps), options_of(false)).ok());
  const auto steps = read_metrics(folder.path() / "work/metrics.jsonl");
  ASSERT_TRUE(steps.ok());
  ASSERT_EQ(steps->at(0).held_out.size(), 2u);
  for (const char* name : {"digits", "letters"}) {
    EXPECT_NEAR(steps->at(0).held_out.at(name), std::log(420.0), 0.5) << name;  // knows nothing yet
    EXPECT_TRUE(std::isfinite(steps->back().held_out.at(name))) << name;
  }
  EXPECT_LT(steps->back().held_out.at("digits"), steps->back().held_out.at("letters") - 0.5);
}

TEST(TrainingRun, TextThatIsHeldOutMustBeUtf8) {
  TemporaryFolder folder;
  std::ofstream(folder.path() / "broken.txt") << "ab\xff";
  const std::string broken = "eval_paths = \"broken.txt\"\neval_every = 1\n";
  const auto refused = run_training(tiny(folder.path(), broken, "steps = 1\n"), options_of(false));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("broken.txt: expected UTF-8, found something else at byte 2"),
            std::string::npos)
      << refused.error().message;
}

std::vector<float> parameters_of(const std::filesystem::path& model) {
  ThreadPool pool(1);
  const auto config = read_model_config(model);
  EXPECT_TRUE(config.ok());
  auto loaded = TrainingModel::create(*config, make_compute(pool, Arithmetic::exact));
  EXPECT_TRUE(loaded.ok() && load_parameters(model, **loaded).ok());
  return {(*loaded)->parameters().begin(), (*loaded)->parameters().end()};
}

TEST(TrainingRun, AStageEndsAsTheMeanOfItsEndAndItsBeginning) {
  TemporaryFolder folder;
  const auto run_in = [&](const char* name, const std::string& run, const std::string& stage, bool stopped) {
    const Recipe recipe = tiny(folder.path() / name, run, stage);
    TrainingOptions options = options_of(false);
    CancelFlag cancel;
    if (stopped) {
      cancel.request();
      options.cancel = &cancel;
      EXPECT_FALSE(run_training(recipe, options).ok());  // after one step
    }
    const auto summary = run_training(recipe, options_of(stopped));
    EXPECT_TRUE(summary.ok()) << (summary.ok() ? "" : summary.error().message);
    return folder.path() / name;
  };
  const std::string steps = "steps = 4\nlearning_rate = 0.01\n", averaged = steps + "average_start = 0.25\n";
  const auto first = run_in("first", "", steps, false);
  const std::string start = "start = \"" + (first / "model").string() + "\"\n";
  const auto plain = run_in("plain", start, steps, false), mean = run_in("mean", start, averaged, false),
             resumed = run_in("resumed", start, averaged, true);
  EXPECT_EQ(model_bytes(mean), model_bytes(resumed));
  const std::vector<float> a = parameters_of(first / "model"), b = parameters_of(plain / "model"),
                           c = parameters_of(mean / "model");
  double moved = 0;
  for (std::size_t i = 0; i < c.size(); ++i) {
    EXPECT_NEAR(c[i], 0.25f * a[i] + 0.75f * b[i], 0.01 * std::abs(c[i]) + 1e-4) << i;  // all three rounded to bf16
    moved = std::max(moved, static_cast<double>(std::abs(a[i] - b[i])));
  }
  EXPECT_GT(moved, 0.01);
}

TEST(TrainingRun, AMeanThatCannotBeTakenIsAnError) {
  TemporaryFolder folder;
  const auto averaged = [&](int steps) {
    return tiny(folder.path(), "", "steps = " + std::to_string(steps) + "\naverage_start = 0.25\n");
  };
  ASSERT_TRUE(run_training(averaged(2), options_of(false)).ok());
  const auto longer = run_training(averaged(4), options_of(true));  // the beginning was let go with the mean
  ASSERT_FALSE(longer.ok());
  EXPECT_NE(longer.error().message.find("average_start: expected a checkpoint with the stage's beginning"),
            std::string::npos)
      << longer.error().message;
}

TEST(TrainingRun, AStartOfAnotherFunctionIsRefused) {
  TemporaryFolder folder;
  ASSERT_TRUE(run_training(tiny(folder.path(), "", "steps = 1\n"), options_of(false)).ok());
  std::string text = tiny_recipe("start = \"" + (folder.path() / "model").string() + "\"\n", "steps = 1\n");
  text.replace(text.find("hidden_size = 32"), 16, "hidden_size = 32\nrope_theta = 5000.0");
  const auto recipe = parse_recipe(text, folder.path() / "other" / "tiny.toml");
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  const auto refused = run_training(*recipe, options_of(false));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "model: rope_theta: expected 5000.0, as the recipe's model has, found 10000.0");
}

TEST(TrainingRun, AStartWithOtherTokensIsRefused) {
  TemporaryFolder folder;
  ASSERT_TRUE(run_training(tiny(folder.path(), "", "steps = 1\n"), options_of(false)).ok());
  const std::string start = (folder.path() / "model").string();
  std::string text = tiny_recipe("start = \"" + start + "\"\n", "steps = 1\n");
  text.replace(text.find("drills = 1, stories = 3"), 23,
               "drills = 3, stories = 1");  // what the tokenizer is trained on
  const auto recipe = parse_recipe(text, folder.path() / "other" / "tiny.toml");
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  const auto refused = run_training(*recipe, options_of(false));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("tiny.toml: tokenizer: expected the one in " + start +
                                         ", which start names, found another from token "),
            std::string::npos)
      << refused.error().message;
}

// A GGUF file keeps numbers as float32, where a recipe has 1e-5, and a scaling of rope as a tensor of factors.
TEST(TrainingRun, AStartMayBeAGgufFileOfTheSameModel) {
  ThreadPool pool(2);
  for (const std::string name : {"llama3_q4_0", "qwen2_q4_k_m"}) {
    const auto file = std::filesystem::path(HADAL_GOLDENS) / "gguf" / name / (name + ".gguf");
    const auto checkpoint = open_checkpoint(file);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
    ModelConfig config = checkpoint->config;
    const auto load_into = [&] {
      const auto model = TrainingModel::create(config, make_compute(pool, Arithmetic::exact));
      EXPECT_TRUE(model.ok());
      return load_parameters(file, **model);
    };
    const double stored = config.rms_norm_eps;
    config.rms_norm_eps = std::stod(fmt::format("{:.5g}", stored));
    EXPECT_NE(config.rms_norm_eps, stored);
    const Status loaded = load_into();
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    config.rms_norm_eps *= 2;
    EXPECT_FALSE(load_into().ok());
  }
}

// Muon's momentum and decay would move the layer that predicts the token after the next without any gradient.
TEST(TrainingRun, AnMtpLayerKeepsWhatItHasWhereItsLossIsNotAskedFor) {
  TemporaryFolder folder;
  const auto run_in = [&](const char* name, const std::string& run, const std::string& stage) {
    std::string text = tiny_recipe(run, stage);
    text.replace(text.find("hidden_size = 32"), 16, "hidden_size = 32\nnum_nextn_predict_layers = 1");
    const auto recipe = parse_recipe(text, folder.path() / name / "tiny.toml");
    EXPECT_TRUE(recipe.ok()) << recipe.error().message;
    const auto summary = run_training(*recipe, options_of(false));
    EXPECT_TRUE(summary.ok()) << (summary.ok() ? "" : summary.error().message);
    return folder.path() / name / "model";
  };
  const std::string muon = "optimizer = \"muon\"\nlearning_rate = 0.02\n", with = muon + "mtp_weight = 0.3\n";
  const auto first = run_in("first", "", "steps = 3\n" + with);
  const std::string start = "start = \"" + first.string() + "\"\n";
  // Moments carry over from a stage that has the loss to one that has not.
  const auto resting = run_in("resting", start, "steps = 3\n" + muon),
             learning = run_in("learning", start, "steps = 3\n" + with);
  ThreadPool pool(1);
  const auto model = TrainingModel::create(*read_model_config(first), make_compute(pool, Arithmetic::exact));
  ASSERT_TRUE(model.ok());
  const int layers = (*model)->config().num_hidden_layers;
  const std::vector<float> a = parameters_of(first), b = parameters_of(resting), c = parameters_of(learning);
  for (const ParameterSlot& slot : (*model)->slots()) {
    if (!slot.trained || slot.tensor.shape.size() < 2 || slot.tensor.name.find("expert") != std::string::npos) continue;
    const auto begin = static_cast<std::ptrdiff_t>(slot.offset), end = begin + slot.tensor.elements();
    const bool rests = std::equal(a.begin() + begin, a.begin() + end, b.begin() + begin);
    EXPECT_EQ(rests, slot.tensor.layer >= layers) << slot.tensor.name;
    EXPECT_FALSE(std::equal(a.begin() + begin, a.begin() + end, c.begin() + begin)) << slot.tensor.name;
  }
}

TEST(TrainingRun, DivergenceStopsWithTheStepAndKeepsTheLastGoodCheckpoint) {
  TemporaryFolder folder;
  // Decay of rate * 10 * 10 = -99 a step: weights pass float32's range within twenty steps.
  const Recipe recipe =
      tiny(folder.path(), "arithmetic = \"exact\"\ncheckpoint_steps = 2\n",
           "steps = 60\nlearning_rate = 10.0\nweight_decay = 10.0\nschedule = \"constant\"\nwarmup = 0\n");
  const auto run = run_training(recipe, options_of(false));
  ASSERT_FALSE(run.ok());
  EXPECT_NE(run.error().message.find("finite"), std::string::npos) << run.error().message;
  for (const auto& checkpoint : list_checkpoints(recipe.work)) EXPECT_TRUE(read_model_config(checkpoint).ok());
  EXPECT_FALSE(std::filesystem::exists(recipe.output));
}

TEST(TrainingRun, ADryRunWritesNothing) {
  TemporaryFolder folder;
  const Recipe recipe = tiny(folder.path(), "", kTenSteps);
  TrainingOptions options = options_of(false);
  options.dry_run = true;
  std::string said;
  options.say = [&](std::string_view line) { said += std::string(line) + "\n"; };
  ASSERT_TRUE(run_training(recipe, options).ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_NE(said.find("MFLOP a token"), std::string::npos);
}

TEST(TrainingRun, ADryRunMeetsTheCheckpointsThatTheRunWould) {
  TemporaryFolder folder;
  const Recipe recipe = tiny(folder.path(), "", "steps = 1\n");
  ASSERT_TRUE(run_training(recipe, options_of(false)).ok());
  for (const bool resume : {false, true}) {
    TrainingOptions options = options_of(resume);
    options.dry_run = true;
    const auto run = run_training(recipe, options);
    EXPECT_EQ(run.ok(), resume);
    if (!run.ok()) EXPECT_NE(run.error().message.find("go on with --resume"), std::string::npos) << run.error().message;
  }
}

TEST(TrainingRun, SequencesLongerThanTheModelsPositionsAreRefused) {
  TemporaryFolder folder;
  std::string text = tiny_recipe("", "steps = 1\n");
  text.replace(text.find("max_position_embeddings = 512"), 29, "max_position_embeddings = 128");
  const auto recipe = parse_recipe(text, folder.path() / "tiny.toml");
  ASSERT_TRUE(recipe.ok());
  const auto run = run_training(*recipe, options_of(false));
  ASSERT_FALSE(run.ok());
  EXPECT_NE(run.error().message.find("sequence_tokens: expected at most 128"), std::string::npos)
      << run.error().message;
}

TEST(TrainingFlops, OfTheBenchmarkShapeAreAboutThirtyTwoMillionAToken) {
  ModelConfig c;
  c.vocab_size = 4096;
  c.hidden_size = 256;
  c.intermediate_size = 768;
  c.moe_intermediate_size = 128;
  c.num_hidden_layers = 6;
  c.num_attention_heads = 4;
  c.kv_lora_rank = 64;
  c.qk_nope_head_dim = 32;
  c.qk_rope_head_dim = 16;
  c.v_head_dim = 32;
  c.n_routed_experts = 32;
  c.n_shared_experts = 1;
  c.num_experts_per_tok = 4;
  c.first_k_dense_replace = 1;
  EXPECT_NEAR(training_flops_per_token(c, 256.5) * 1e-6, 32, 1);
}

}  // namespace
}  // namespace hadal
