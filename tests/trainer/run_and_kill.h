// A training run that is killed on its way.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "trainer/metrics.h"
#include "trainer/training_run.h"
#include "trainer/training_state.h"

namespace hadal {

// Runs the recipe in a child and kills it once so many steps and a checkpoint are on record: wherever it is then, but
// before its end. A busy machine may let it end too early: then once more. False: it always did, or never came so far.
inline bool run_and_kill(const Recipe& recipe, const TrainingOptions& options, std::size_t steps_done) {
  for (int tries = 0; tries < 20; ++tries) {
    std::filesystem::remove_all(recipe.work);
    std::filesystem::remove_all(recipe.output);
    const pid_t child = fork();
    if (child < 0) return false;
    if (child == 0) {
      (void)run_training(recipe, options).ok();
      _exit(0);
    }
    for (int wait = 0; wait < 10000; ++wait) {  // 20 s at most
      const auto steps = read_metrics(recipe.work / "metrics.jsonl");
      if (steps.ok() && steps->size() >= steps_done && !list_checkpoints(recipe.work).empty()) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    const auto steps = read_metrics(recipe.work / "metrics.jsonl");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && steps.ok() && steps->size() >= steps_done &&
        !list_checkpoints(recipe.work).empty() && !std::filesystem::exists(recipe.output))
      return true;
  }
  return false;
}

}  // namespace hadal
