// Mean cross-entropy of the targets that count, and its gradient to the logits. A
// negative target does not count (a prompt in supervised fine-tuning, padding). See
// ref/matmul.h for the conventions.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace hadal::ref {

struct LossShape {
  std::ptrdiff_t T, V;  // tokens, vocabulary
};

// log sum_v exp(logits_v), safe for large logits.   logits [V]
template <class Real>
Real log_sum_exp(std::ptrdiff_t V, const Real* logits) {
  const Real top = *std::max_element(logits, logits + V);
  Real sum = 0;
  for (std::ptrdiff_t v = 0; v < V; ++v) sum += std::exp(logits[v] - top);
  return top + std::log(sum);
}

inline std::ptrdiff_t counted_targets(std::ptrdiff_t T, const std::int32_t* targets) {
  return std::count_if(targets, targets + T, [](std::int32_t target) { return target >= 0; });
}

// L = -(1/n) sum over counted t of log softmax(logits_t)[target_t]; 0 where none counts.   logits [T, V], targets [T]
template <class Real>
Real cross_entropy(const LossShape& s, const Real* logits, const std::int32_t* targets) {
  Real loss = 0;
  for (std::ptrdiff_t t = 0; t < s.T; ++t)
    if (targets[t] >= 0) loss += log_sum_exp(s.V, logits + t * s.V) - logits[t * s.V + targets[t]];
  return loss / static_cast<Real>(std::max<std::ptrdiff_t>(1, counted_targets(s.T, targets)));
}

// dL/dlogits_tv = (softmax(logits_t)_v - [v = target_t]) / n for counted t, else 0.   d_logits [T, V]
template <class Real>
void cross_entropy_backward(const LossShape& s, const Real* logits, const std::int32_t* targets, Real* d_logits) {
  const Real n = static_cast<Real>(counted_targets(s.T, targets));
  for (std::ptrdiff_t t = 0; t < s.T; ++t) {
    if (targets[t] < 0) continue;
    const Real lse = log_sum_exp(s.V, logits + t * s.V);
    for (std::ptrdiff_t v = 0; v < s.V; ++v)
      d_logits[t * s.V + v] += (std::exp(logits[t * s.V + v] - lse) - (v == targets[t] ? 1 : 0)) / n;
  }
}

}  // namespace hadal::ref
