#include "kernels/router.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "kernels/kernel_table.h"

namespace hadal {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

// Leaves only the experts of the best groups; the others become minus infinity.
void keep_best_groups(const RouterRule& rule, float* steered) {
  const int size = rule.experts / rule.groups;
  float group[kMaxExperts];
  for (int g = 0; g < rule.groups; ++g) {
    float best = kNothing, second = kNothing;
    for (int e = g * size; e < (g + 1) * size; ++e) {
      if (steered[e] > best) {
        second = best;
        best = steered[e];
      } else if (steered[e] > second) {
        second = steered[e];
      }
    }
    group[g] = rule.group_score == RouterRule::GroupScore::two_best && size > 1 ? best + second : best;
  }
  bool kept[kMaxExperts] = {};
  for (int k = 0; k < rule.kept_groups; ++k) {
    int best = -1;
    for (int g = 0; g < rule.groups; ++g)
      if (!kept[g] && (best < 0 || group[g] > group[best])) best = g;
    kept[best] = true;
  }
  for (int e = 0; e < rule.experts; ++e)
    if (!kept[e / size]) steered[e] = kNothing;
}

}  // namespace

void route(const KernelTable& kernels, const RouterRule& rule, float* scores, const float* bias, ExpertId* chosen,
           float* weights) {
  HADAL_CHECK(rule.experts <= kMaxExperts && rule.chosen <= rule.experts);
  if (rule.score == RouterRule::Score::softmax)
    kernels.softmax(scores, rule.experts);
  else
    kernels.sigmoid(scores, rule.experts, scores);
  float steered[kMaxExperts];
  for (int e = 0; e < rule.experts; ++e) steered[e] = scores[e] + (bias ? bias[e] : 0.0f);
  if (rule.group_score != RouterRule::GroupScore::none && rule.groups > 1) keep_best_groups(rule, steered);
  bool taken[kMaxExperts];
  std::fill_n(taken, rule.experts, false);
  for (int k = 0; k < rule.chosen; ++k) {
    int best = -1;
    for (int e = 0; e < rule.experts; ++e)
      if (!taken[e] && (best < 0 || steered[e] > steered[best])) best = e;
    taken[best] = true;
    chosen[k] = static_cast<ExpertId>(best);
  }
  route_weights(rule, scores, chosen, weights);
}

void route_weights(const RouterRule& rule, const float* scores, const ExpertId* chosen, float* weights) {
  float sum = 0;
  for (int k = 0; k < rule.chosen; ++k) sum += scores[index(chosen[k])];
  const float factor = rule.normalise ? rule.scale / (sum + 1e-20f) : rule.scale;
  for (int k = 0; k < rule.chosen; ++k) weights[k] = scores[index(chosen[k])] * factor;
}

void route_backward(const RouterRule& rule, const float* scores, const ExpertId* chosen, const float* d_weights,
                    float* d_logits) {
  float d_scores[kMaxExperts] = {};
  float sum = 0, pull = 0;
  for (int k = 0; k < rule.chosen; ++k) {
    sum += scores[index(chosen[k])];
    pull += scores[index(chosen[k])] * d_weights[k];
  }
  // w_k = scale a_k / A: dL/da_k = scale (dw_k / A - sum_j dw_j a_j / A^2)
  const float total = sum + 1e-20f;
  for (int k = 0; k < rule.chosen; ++k)
    d_scores[index(chosen[k])] =
        rule.normalise ? rule.scale * (d_weights[k] / total - pull / (total * total)) : rule.scale * d_weights[k];
  scores_backward(rule, scores, d_scores, d_logits);
}

void scores_backward(const RouterRule& rule, const float* scores, const float* d_scores, float* d_logits) {
  if (rule.score == RouterRule::Score::sigmoid) {
    for (int e = 0; e < rule.experts; ++e) d_logits[e] += d_scores[e] * scores[e] * (1.0f - scores[e]);
    return;
  }
  float mean = 0;
  for (int e = 0; e < rule.experts; ++e) mean += d_scores[e] * scores[e];
  for (int e = 0; e < rule.experts; ++e) d_logits[e] += scores[e] * (d_scores[e] - mean);
}

}  // namespace hadal
