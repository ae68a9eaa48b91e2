// The sum of the chosen experts' outputs, weighted by the router: the last step of
// a MoE layer (DeepSeekMoE, arXiv 2401.06066, eq. 3 and 9; the shared experts are
// added by the caller). See ref/matmul.h for the conventions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hadal::ref {

struct CombineShape {
  std::ptrdiff_t T, K, D;  // tokens, chosen experts, hidden
};

// out_t = sum_k g_tk y_slot(t,k).   slot [T, K], weights g [T, K], y [slots, D], out [T, D]
template <class Real>
void moe_combine(const CombineShape& s, const std::int32_t* slot, const Real* weights, const Real* y, Real* out) {
  for (std::ptrdiff_t t = 0; t < s.T; ++t)
    for (std::ptrdiff_t d = 0; d < s.D; ++d) {
      Real sum = 0;
      for (std::ptrdiff_t k = 0; k < s.K; ++k) sum += weights[t * s.K + k] * y[slot[t * s.K + k] * s.D + d];
      out[t * s.D + d] = sum;
    }
}

// dy_slot(t,k) = g_tk dout_t; dg_tk = dout_t . y_slot(t,k).   d_out [T, D], d_weights [T, K], d_y [slots, D]
template <class Real>
void moe_combine_backward(const CombineShape& s, const std::int32_t* slot, const Real* weights, const Real* y,
                          const Real* d_out, Real* d_weights, Real* d_y) {
  for (std::ptrdiff_t t = 0; t < s.T; ++t)
    for (std::ptrdiff_t k = 0; k < s.K; ++k) {
      const std::ptrdiff_t at = slot[t * s.K + k] * s.D;
      for (std::ptrdiff_t d = 0; d < s.D; ++d) {
        if (d_weights) d_weights[t * s.K + k] += d_out[t * s.D + d] * y[at + d];
        if (d_y) d_y[at + d] += weights[t * s.K + k] * d_out[t * s.D + d];
      }
    }
}

}  // namespace hadal::ref
