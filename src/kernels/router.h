// Which experts a token takes, and with what weights: V2's softmax routing and
// V3's sigmoid routing steered by a bias (MODELS.md 4.1, 4.2). The choice is
// discrete; only the weights carry a gradient.
#pragma once

#include "base/ids.h"
#include "kernels/compute.h"

namespace hadal {

inline constexpr int kMaxExperts = 4096;  // E at most: a token's scores lie on the stack

struct RouterRule {
  int experts, chosen;              // E, K
  int groups = 1, kept_groups = 1;  // experts stand in `groups` equal runs; only the best ones compete
  enum class Score { softmax, sigmoid } score;
  enum class GroupScore { none, best, two_best } group_score;  // V2 group-limited: best; V3: sum of the two best
  bool normalise;                                              // weights divided by their sum
  float scale;                                                 // routed_scaling_factor
};

// Works on one token. `scores` [E]: in, the logits; out, softmax or sigmoid of them. `bias` [E] or null steers the
// choice only. chosen [K] in descending (biased) score, ties to the lowest index; weights [K].
void route(const KernelTable& kernels, const RouterRule& rule, float* scores, const float* bias, ExpertId* chosen,
           float* weights);

// The weights of experts already chosen (replay): as route() would give.
void route_weights(const RouterRule& rule, const float* scores, const ExpertId* chosen, float* weights);

// d_logits [E] += gradient through the weights. scores as route() left them; d_weights [K].
void route_backward(const RouterRule& rule, const float* scores, const ExpertId* chosen, const float* d_weights,
                    float* d_logits);

// The gradient of scores (softmax or sigmoid outputs) taken to the logits: d_logits += J^T d_scores.
void scores_backward(const RouterRule& rule, const float* scores, const float* d_scores, float* d_logits);

}  // namespace hadal
