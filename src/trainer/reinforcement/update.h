// The policy-gradient step of GRPO: from answers and what each of them is worth to gradients of the policy.
//
//   loss = 1 / N  sum over answers i and their drawn tokens t of  M_i token_loss(A_i, pi, pi_old, pi_ref)
//
// The clipped ratio and the advantages of a group are DeepSeekMath's GRPO (arXiv 2402.03300); the unbiased estimate of
// the KL divergence, the mask M against answers too far off policy, and the engine's experts and sampling mask in the
// trainer's forward pass are DeepSeek-V3.2's (arXiv 2512.02556; MODELS.md 11.5, 11.6). A token's part is policy.h's.
// N counts the drawn tokens of all answers, those of masked ones (M = 0) too, where DeepSeekMath first divides each
// answer by its own length. A masked answer contributes nothing, no KL divergence either.
//
// The questions, the rewards and the optimiser are not here. One thread; the Compute's pool does the work.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trainer/recipe.h"
#include "trainer/reinforcement/rollout.h"
#include "trainer/training_model.h"

namespace hadal {

// One answer to learn from.
struct Lesson {
  const Rollout* rollout;  // with a trace
  double advantage;        // A
};

// What an update works on; all of it outlives the call.
struct UpdateSetting {
  const GrpoRecipe& grpo;    // the policy's rule, the sampling's temperature, what is replayed
  int batch_tokens;          // rows that go through the model at once, an answer alone may have more; changes no result
  RouteShape shape;          // of the rollouts' routes
  TrainingModel& model;      // pi
  TrainingModel* reference;  // pi_ref; null where the KL divergence weighs nothing
};

struct UpdateResult {
  // Sums over learned tokens, in the order of rows, so that threads change nothing. In nats: -ln pi and the estimate
  // of the KL divergence; |ln pi - ln pi_old|; `clipped` counts tokens.
  double loss = 0, entropy = 0, kl = 0, clipped = 0, mismatch = 0;
  std::int64_t tokens = 0;                // that were learned: drawn, and of no masked answer
  std::int64_t rows = 0;                  // that went through the model: prompts, too
  int masked = 0;                         // answers
  std::vector<std::int64_t> expert_load;  // [moe layers, E] rows that chose each expert
};

// model.gradients() += d(loss)/d(parameters). Lessons on the same prompt, one behind the other, share its rows. They
// may be cut into batches anywhere: N is that of all `lessons`.
UpdateResult add_policy_gradient(const UpdateSetting& setting, std::span<const Lesson> lessons);

}  // namespace hadal
