// SwiGLU without its matrices: silu(gate) * up (Shazeer, arXiv 2002.05202, eq. 6),
// and its gradient. See ref/matmul.h for the conventions.
#pragma once

#include <cmath>
#include <cstddef>

namespace hadal::ref {

template <class Real>
Real sigmoid(Real x) {
  return 1 / (1 + std::exp(-x));
}

// out_i = g_i sigmoid(g_i) u_i.   gate, up, out [count]
template <class Real>
void swiglu(std::ptrdiff_t count, const Real* gate, const Real* up, Real* out) {
  for (std::ptrdiff_t i = 0; i < count; ++i) out[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

// d silu(g)/dg = s (1 + g (1 - s)), s = sigmoid(g).   d_out, d_gate, d_up [count]
template <class Real>
void swiglu_backward(std::ptrdiff_t count, const Real* gate, const Real* up, const Real* d_out, Real* d_gate,
                     Real* d_up) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const Real s = sigmoid(gate[i]);
    if (d_gate) d_gate[i] += d_out[i] * up[i] * s * (1 + gate[i] * (1 - s));
    if (d_up) d_up[i] += d_out[i] * gate[i] * s;
  }
}

}  // namespace hadal::ref
