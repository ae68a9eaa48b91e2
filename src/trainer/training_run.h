// A whole training run: what `hadal train` does.
//
// open sources -> tokenizer -> model -> for each stage: batches, forward and backward, optimiser, balance ->
// checkpoints as it goes -> the model's directory and the report at the end. The same recipe, seed and
// number of threads give the same bits, whether the run was interrupted (kill -9 included) or not, as long as
// no stage is ended by its minutes. One caller.
#pragma once

#include <functional>
#include <string_view>

#include "base/cancel.h"
#include "base/progress.h"
#include "base/result.h"
#include "trainer/recipe.h"

namespace hadal {

struct TrainingOptions {
  bool resume = false;                 // go on from the last checkpoint; without one, begin
  bool dry_run = false;                // open and build everything, make one batch, train nothing, write nothing
  int threads = 0;                     // 0: all
  const CancelFlag* cancel = nullptr;  // asked for after each step: a checkpoint, then Error::cancelled
  ProgressSink progress;
  std::function<void(std::string_view)> say;  // lines for a person; may be empty
};

struct TrainingSummary {
  std::int64_t steps = 0, tokens = 0;
  double seconds = 0;
  double loss = 0;      // of the last steps, smoothed
  double held_out = 0;  // mean over the files; 0: never measured
};

Result<TrainingSummary> run_training(const Recipe& recipe, const TrainingOptions& options);

// Arithmetic of one trained token: 6 a parameter it touches (embedding rows are read, not multiplied), and
// attention over `mean_context` earlier tokens, forward and backward.
double training_flops_per_token(const ModelConfig& config, double mean_context);

}  // namespace hadal
