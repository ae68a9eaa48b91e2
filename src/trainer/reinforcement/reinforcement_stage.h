// A stage of kind "grpo": ask, answer, judge, learn.
//
//   questions (question_pool.h) -> G answers each on the current weights (rollout.h) -> rewards (reward.h)
//   -> groups that differ -> advantages -> updates (policy.h), each with the experts and the sampling mask of the
//   answers
//
// A step is a pure function of the parameters, the seed and the counters it is given, so that a resumed run goes on to
// the same bits. Groups whose answers are all worth the same teach nothing: others are asked in their place.
// One thread; the Compute's pool does the work.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "trainer/metrics.h"
#include "trainer/optimizer.h"
#include "trainer/recipe.h"
#include "trainer/reinforcement/question_pool.h"
#include "trainer/reinforcement/reward.h"
#include "trainer/reinforcement/rollout.h"
#include "trainer/training_model.h"

namespace hadal {

// What a stage works on; all of it outlives the stage.
struct ReinforcementSetting {
  const StageRecipe& stage;
  TrainingModel& model;
  const Compute& compute;
  const ExampleEncoder& encoder;
  std::span<const std::unique_ptr<DataSource>> sources;
  std::span<const SourceRecipe> source_recipes;  // their names
  std::vector<double> weights;                   // of the sources; 0: absent
  std::uint64_t seed = 0;
  const CancelFlag* cancel = nullptr;
};

struct ReinforcementStep {
  double loss = 0, gradient_norm = 0;  // means over the step's updates; no measurement where no group was kept
  std::int64_t tokens = 0;             // that were learned from: rows of all updates
  std::vector<std::int64_t> expert_load;
  ReinforcementMetrics metrics;
};

class ReinforcementStage {
 public:
  // `reference`: the parameters that the KL divergence is taken to; empty: the model's own now.
  static Result<std::unique_ptr<ReinforcementStage>> create(ReinforcementSetting setting,
                                                            std::span<const float> reference);
  ~ReinforcementStage();

  // Step number `step` of the stage (from 0): updates the parameters. `check` is asked before each update.
  Result<ReinforcementStep> step(std::int64_t step, Optimizer& optimizer, double rate_factor, CurriculumState& state,
                                 const std::function<Status(double loss, double norm)>& check);

  // Rejection sampling: asks grpo.questions questions, and of each keeps the grpo.keep shortest right answers in form,
  // no reasoning twice. `progress` hears how many were asked.
  struct Kept {
    std::string question, reasoning, answer;
    bool answer_by_letters = false;  // WorkedExample's: how the task's answers are learned
  };
  Result<std::vector<Kept>> right_answers(const std::function<void(int asked, std::size_t kept)>& progress);

  // Greedy answers to `items` (prompts that do not fit are left out): judged, for held-out accuracy.
  struct Answered {
    std::size_t item;  // of `items`
    AnswerText text;
    bool right = false;
  };
  Result<std::vector<Answered>> answers(std::span<const TaskItem> items);

  // What a first step asks first: for a dry run. Error: a source that holds no question that fits.
  Result<std::vector<AskedQuestion>> first_questions() const;

  // What a checkpoint keeps; empty where no KL divergence is taken.
  std::span<const float> reference() const;

 private:
  struct Group;
  struct Judged;
  explicit ReinforcementStage(ReinforcementSetting setting, AnswerTokens tokens);

  Result<std::vector<Group>> ask(CurriculumState& state, ReinforcementMetrics& metrics);
  Result<std::vector<Group>> ask_round(std::size_t questions, RolloutEngine& engine, CurriculumState& state,
                                       Judged& judged);
  Result<std::unique_ptr<RolloutEngine>> open_engine() const;  // on the weights as they are
  void refresh_reference();

  ReinforcementSetting setting_;
  AnswerTokens tokens_;
  QuestionPool pool_;
  RouteShape shape_;
  std::unique_ptr<TrainingModel> reference_;
};

}  // namespace hadal
