// Answers from the serving engine on the trainer's current weights, in the same process and without a file between.
//
// The weights are packed anew for each RolloutEngine (a fiftieth of a second for 20 M parameters), and its prefix index
// dies with it: no latents of older weights can be found. Many answers are written in one batch; one that ends makes
// room for the next. With a trace an answer brings what the trainer needs to repeat it: experts, probabilities,
// sampling mask. In exact arithmetic an answer depends on its own prompt and seed only. One thread.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/cancel.h"
#include "engine/engine.h"
#include "trainer/training_model.h"

namespace hadal {

struct RolloutRequest {
  std::span<const TokenId> prompt;
  SamplingParams sampling;
  int max_tokens = 0;
  Trace trace = Trace::yes;
};

struct Rollout {
  std::vector<TokenId> tokens;  // prompt, then what was drawn
  int prompt_tokens = 0;
  bool ended = false;                    // by its end token; else cut
  std::vector<float> log_probabilities;  // the rest as in engine/sequence.h
  std::vector<TokenId> kept;
  std::vector<std::size_t> kept_ends;
  std::vector<ExpertId> routes;  // [tokens - 1, moe layers, K]

  std::span<const TokenId> drawn() const { return std::span(tokens).subspan(static_cast<std::size_t>(prompt_tokens)); }
};

class RolloutEngine {
 public:
  // At most `sequences` answers at once, each of at most `context_tokens` with its prompt.
  static Result<std::unique_ptr<RolloutEngine>> create(TrainingModel& model, const Compute& compute, int sequences,
                                                       int context_tokens);

  // One answer each, in order; a prompt that follows itself is computed once. Error: cancelled, a prompt that the
  // engine refuses, or a model whose logits are no numbers; the engine is empty afterwards all the same.
  Result<std::vector<Rollout>> run(std::span<const RolloutRequest> requests, TokenId end, const CancelFlag* cancel);

 private:
  std::unique_ptr<Transformer> transformer_;
  std::unique_ptr<TransformerModel> forward_;
  std::unique_ptr<Engine> engine_;
};

// Whether one follows the other as an answer to the same question, and the rows that both then have in common: those of
// the prompt but for its last, which predicts the first drawn token.
bool same_prompt(const Rollout& a, const Rollout& b);
std::size_t rows_of_prompt(const Rollout& rollout);

// Appends the rows of a rollout to a batch: drawn tokens are its targets. `before`: the rollout that was appended last,
// null: none; what both have in common is there once. `replay_routes` and `replay_mask`: whether the trainer takes the
// engine's experts, and sees the tokens that could be drawn. A batch is filled with the same choices.
void append_rollout(const Rollout& rollout, const Rollout* before, const RouteShape& shape, bool replay_routes,
                    bool replay_mask, TrainingBatch& batch);
// To be called when a batch is full: from [T, layers, K], as rollouts are appended, to [layers, T, K].
void finish_routes(const RouteShape& shape, TrainingBatch& batch);

}  // namespace hadal
