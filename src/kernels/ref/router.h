// The oracle of kernels/router.h: which experts one token takes, with what weights,
// and the gradient through the weights of a choice held fixed (the choice itself is
// discrete). MODELS.md 4.1 (V2, arXiv 2405.04434 section 2.2) and 4.2 (V3, arXiv
// 2412.19437 eq. 12-16). See ref/matmul.h for the conventions.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace hadal::ref {

enum class ScoringFunc { softmax, sigmoid };
enum class TopkMethod { greedy, group_limited_greedy, noaux_tc };

// The fields of config.json.
struct RouterConfig {
  int n_routed_experts, num_experts_per_tok;  // E, K
  int n_group = 1, topk_group = 1;            // experts stand in n_group equal runs; topk_group of them compete
  ScoringFunc scoring_func;
  TopkMethod topk_method;
  bool norm_topk_prob;
  double routed_scaling_factor;
};

// a = softmax(logits) (V2) or sigmoid(logits) (V3).   logits, scores [E]
template <class Real>
void router_scores(const RouterConfig& c, const Real* logits, Real* scores) {
  const int E = c.n_routed_experts;
  if (c.scoring_func == ScoringFunc::sigmoid) {
    for (int e = 0; e < E; ++e) scores[e] = 1 / (1 + std::exp(-logits[e]));
    return;
  }
  const Real top = *std::max_element(logits, logits + E);
  Real sum = 0;
  for (int e = 0; e < E; ++e) sum += scores[e] = std::exp(logits[e] - top);
  for (int e = 0; e < E; ++e) scores[e] /= sum;
}

// The `count` largest, in descending order; of equals the lowest index first.
template <class Real>
std::vector<std::int32_t> largest(const std::vector<Real>& values, int count) {
  std::vector<std::int32_t> order(values.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t x, std::int32_t y) {
    return values[static_cast<std::size_t>(x)] > values[static_cast<std::size_t>(y)];
  });
  order.resize(static_cast<std::size_t>(count));
  return order;
}

// greedy: the K largest scores. group_limited_greedy: groups compete by their best score first. noaux_tc: the bias is
// added for the choice only, and groups compete by the sum of their two best.
// scores [E], bias [E] or null; returns the chosen experts [K]
template <class Real>
std::vector<std::int32_t> router_choice(const RouterConfig& c, const Real* scores, const Real* bias) {
  const int E = c.n_routed_experts, size = E / c.n_group;
  std::vector<Real> steered(scores, scores + E);
  if (bias)
    for (int e = 0; e < E; ++e) steered[static_cast<std::size_t>(e)] += bias[e];
  if (c.topk_method != TopkMethod::greedy && c.n_group > 1) {
    std::vector<Real> group_score;
    for (int g = 0; g < c.n_group; ++g) {
      std::vector<Real> members(steered.begin() + g * size, steered.begin() + (g + 1) * size);
      std::sort(members.begin(), members.end(), std::greater<>());
      const bool two = c.topk_method == TopkMethod::noaux_tc && size > 1;
      group_score.push_back(two ? members[0] + members[1] : members[0]);
    }
    const std::vector<std::int32_t> kept = largest(group_score, c.topk_group);
    for (int e = 0; e < E; ++e)
      if (std::find(kept.begin(), kept.end(), e / size) == kept.end())
        steered[static_cast<std::size_t>(e)] = -std::numeric_limits<Real>::infinity();
  }
  return largest(steered, c.num_experts_per_tok);
}

// g_k = a_k * scale, or a_k / (sum of the chosen a + 1e-20) * scale with norm_topk_prob.   chosen, weights [K]
template <class Real>
void router_weights(const RouterConfig& c, const Real* scores, const std::int32_t* chosen, Real* weights) {
  const int K = c.num_experts_per_tok;
  Real sum = 0;
  for (int k = 0; k < K; ++k) sum += scores[chosen[k]];
  const Real divisor = c.norm_topk_prob ? sum + static_cast<Real>(1e-20) : 1;
  for (int k = 0; k < K; ++k) weights[k] = scores[chosen[k]] / divisor * static_cast<Real>(c.routed_scaling_factor);
}

// With A = sum of the chosen a: dg_j/da_k = scale (delta_jk / A - a_j / A^2), or scale delta_jk without the norm.
// d_weights [K], d_scores [E]
template <class Real>
void router_weights_backward(const RouterConfig& c, const Real* scores, const std::int32_t* chosen,
                             const Real* d_weights, Real* d_scores) {
  const int K = c.num_experts_per_tok;
  const Real scale = static_cast<Real>(c.routed_scaling_factor);
  Real sum = static_cast<Real>(1e-20), pull = 0;
  for (int k = 0; k < K; ++k) {
    sum += scores[chosen[k]];
    pull += d_weights[k] * scores[chosen[k]];
  }
  for (int k = 0; k < K; ++k)
    d_scores[chosen[k]] += scale * (c.norm_topk_prob ? d_weights[k] / sum - pull / (sum * sum) : d_weights[k]);
}

// sigmoid: ds/dl = s (1 - s). softmax: dL/dl_e = s_e (d_e - sum_j s_j d_j).   scores, d_scores, d_logits [E]
template <class Real>
void router_scores_backward(const RouterConfig& c, const Real* scores, const Real* d_scores, Real* d_logits) {
  const int E = c.n_routed_experts;
  Real mean = 0;
  for (int e = 0; e < E; ++e) mean += scores[e] * d_scores[e];
  for (int e = 0; e < E; ++e)
    d_logits[e] +=
        scores[e] * (c.scoring_func == ScoringFunc::sigmoid ? (1 - scores[e]) * d_scores[e] : d_scores[e] - mean);
}

}  // namespace hadal::ref
