// `hadal train RECIPE.toml`: a whole training run (trainer/training_run.h does the work).
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "base/clock.h"
#include "cli/command.h"
#include "trainer/training_run.h"

namespace hadal {
namespace {

struct TrainOptions {
  std::string recipe;
  bool resume = false, dry_run = false;
  int threads = 0;
};

Status run_train(const TrainOptions& options) {
  HADAL_ASSIGN(const Recipe recipe, read_recipe(options.recipe));
  CancelFlag cancel;
  const InterruptGuard guard(cancel);
  TrainingOptions training;
  training.resume = options.resume;
  training.dry_run = options.dry_run;
  training.threads = options.threads;
  training.cancel = &cancel;
  training.progress = ProgressSink::to(stderr);
  training.say = [](std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  HADAL_ASSIGN(const TrainingSummary summary, run_training(recipe, training));
  if (options.dry_run) return Done{};
  fmt::print("{}: {} steps, {} tokens in {}, loss {:.4f}", recipe.name, summary.steps, summary.tokens,
             format_duration(Seconds(summary.seconds)), summary.loss);
  if (summary.held_out > 0) fmt::print(", held out {:.4f}", summary.held_out);
  fmt::print("\n");
  return Done{};
}

}  // namespace

void add_train_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = app.add_subcommand("train", "Train a model: a whole run from a recipe");
  command->footer(
      "\nExamples:\n"
      "  hadal train recipes/zero-base.toml --dry-run    opens and checks everything, trains nothing\n"
      "  hadal train recipes/zero-base.toml              Ctrl-C saves and stops\n"
      "  hadal train recipes/zero-base.toml --resume     goes on from the last checkpoint\n"
      "\nThe keys of a recipe: docs/training.md. Curves and cost: report.html in the recipe's `work` folder.\n");
  command->add_option("RECIPE", options->recipe, "A recipe, as in recipes/ (docs/training.md)")->required();
  command->add_flag("--resume", options->resume, "Go on from the last checkpoint; begin if there is none");
  command->add_flag("--dry-run", options->dry_run, "Open and check everything, train nothing, write nothing");
  command->add_option("--threads", options->threads, "Threads; 0 takes all")->check(CLI::Range(0, 1024));
  command->callback([options, &result] { result.status = run_train(*options); });
}

}  // namespace hadal
