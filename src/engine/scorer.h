// Feeds given tokens through the model and hands out the logits of every position, for `logits`, `perplexity` and
// tests.
//
// One sequence, no sampling, its own small cache. Threads: one.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/forward_model.h"
#include "engine/latent_cache.h"

namespace hadal {

class Scorer {
 public:
  // Room for `context_tokens` positions; step_tokens: rows of one forward pass (1: token by token through the cache).
  static Result<Scorer> create(ForwardModel& model, int context_tokens, int step_tokens);

  // Logits [V] of `position`, called upwards; an error ends the run.
  using Visit = std::function<Status(int position, std::span<const float> logits)>;
  // positions: ascending, those whose logits are wanted. Errors: ids outside the vocabulary, more tokens than the
  // context.
  Status score(std::span<const TokenId> tokens, std::span<const int> positions, const Visit& visit);

 private:
  Scorer(ForwardModel& model, LatentCache cache, int step_tokens);

  ForwardModel& model_;
  LatentCache cache_;
  int step_tokens_;
  std::vector<PageId> pages_;
  std::vector<float> logits_;
};

}  // namespace hadal
