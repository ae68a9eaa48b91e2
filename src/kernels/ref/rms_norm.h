// RMSNorm (Zhang and Sennrich, arXiv 1910.07467, eq. 4) and its gradient. See
// ref/matmul.h for the conventions.
#pragma once

#include <cmath>
#include <cstddef>

namespace hadal::ref {

struct NormShape {
  std::ptrdiff_t T, D;  // rows, width
};

// r_t = (mean_d x_td^2 + eps)^-1/2
template <class Real>
Real inverse_rms(std::ptrdiff_t D, const Real* x, Real eps) {
  Real sum = 0;
  for (std::ptrdiff_t d = 0; d < D; ++d) sum += x[d] * x[d];
  return 1 / std::sqrt(sum / static_cast<Real>(D) + eps);
}

// y_td = x_td r_t w_d.   x [T, D], w [D], y [T, D]
template <class Real>
void rms_norm(const NormShape& s, const Real* x, const Real* w, Real eps, Real* y) {
  for (std::ptrdiff_t t = 0; t < s.T; ++t) {
    const Real r = inverse_rms(s.D, x + t * s.D, eps);
    for (std::ptrdiff_t d = 0; d < s.D; ++d) y[t * s.D + d] = x[t * s.D + d] * r * w[d];
  }
}

// dr_t/dx_td = -r^3 x_td / D, so dx_td = r (dy_td w_d - x_td r^2 mean_j(dy_tj w_j x_tj)); dw_d = sum_t dy_td x_td r_t.
// dy [T, D], d_x [T, D], d_w [D]
template <class Real>
void rms_norm_backward(const NormShape& s, const Real* x, const Real* w, const Real* dy, Real eps, Real* d_x,
                       Real* d_w) {
  for (std::ptrdiff_t t = 0; t < s.T; ++t) {
    const Real *xt = x + t * s.D, *dyt = dy + t * s.D;
    const Real r = inverse_rms(s.D, xt, eps);
    Real mean = 0;
    for (std::ptrdiff_t d = 0; d < s.D; ++d) mean += dyt[d] * w[d] * xt[d] / static_cast<Real>(s.D);
    for (std::ptrdiff_t d = 0; d < s.D; ++d) {
      if (d_x) d_x[t * s.D + d] += r * (dyt[d] * w[d] - xt[d] * r * r * mean);
      if (d_w) d_w[d] += dyt[d] * xt[d] * r;
    }
  }
}

}  // namespace hadal::ref
