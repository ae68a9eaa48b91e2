// The sequence-wise balance loss (V3, arXiv 2412.19437, eq. 17-20; MODELS.md 11.2)
// of one sequence, and its gradient to the router's scores. The counts f are
// constants: counting has no gradient. See ref/matmul.h for the conventions.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/ref/router.h"

namespace hadal::ref {

struct BalanceShape {
  std::ptrdiff_t T, E, K;  // tokens of the sequence, experts, chosen
};

// f_e = E / (K T) * #{t : e among the K best scores of t}: by score, without the bias. Returns f [E].   scores [T, E]
template <class Real>
std::vector<Real> expert_shares(const BalanceShape& s, const Real* scores) {
  std::vector<Real> share_E(static_cast<std::size_t>(s.E), 0);
  for (std::ptrdiff_t t = 0; t < s.T; ++t) {
    const std::vector<Real> row(scores + t * s.E, scores + (t + 1) * s.E);
    for (const std::int32_t e : largest(row, static_cast<int>(s.K)))
      share_E[static_cast<std::size_t>(e)] += static_cast<Real>(s.E) / static_cast<Real>(s.K * s.T);
  }
  return share_E;
}

// L = alpha sum_e f_e P_e, P_e = mean_t s_te / sum_j s_tj.
template <class Real>
Real balance_loss(const BalanceShape& s, Real alpha, const Real* scores) {
  const std::vector<Real> share_E = expert_shares(s, scores);
  Real loss = 0;
  for (std::ptrdiff_t t = 0; t < s.T; ++t) {
    Real sum = 0;
    for (std::ptrdiff_t e = 0; e < s.E; ++e) sum += scores[t * s.E + e];
    for (std::ptrdiff_t e = 0; e < s.E; ++e)
      loss += alpha * share_E[static_cast<std::size_t>(e)] * scores[t * s.E + e] / sum / static_cast<Real>(s.T);
  }
  return loss;
}

// dL/ds_te = alpha / T * (f_e - sum_j f_j s_tj / A_t) / A_t, A_t = sum_j s_tj.   d_scores [T, E]
template <class Real>
void balance_loss_backward(const BalanceShape& s, Real alpha, const Real* scores, Real* d_scores) {
  const std::vector<Real> share_E = expert_shares(s, scores);
  for (std::ptrdiff_t t = 0; t < s.T; ++t) {
    Real sum = 0, mean = 0;
    for (std::ptrdiff_t e = 0; e < s.E; ++e) sum += scores[t * s.E + e];
    for (std::ptrdiff_t e = 0; e < s.E; ++e) mean += share_E[static_cast<std::size_t>(e)] * scores[t * s.E + e] / sum;
    for (std::ptrdiff_t e = 0; e < s.E; ++e)
      d_scores[t * s.E + e] += alpha / static_cast<Real>(s.T) * (share_E[static_cast<std::size_t>(e)] - mean) / sum;
  }
}

}  // namespace hadal::ref
