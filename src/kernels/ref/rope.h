// Rotary position embedding on adjacent pairs (Su et al., arXiv 2104.09864, eq. 34;
// the pairing of DeepSeek's weights, MODELS.md 2.5). Frequencies come from outside:
// plain or YaRN's. See ref/matmul.h for the conventions.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace hadal::ref {

struct RopeShape {
  std::ptrdiff_t T, H, R;  // tokens, vectors a token, width of a vector (even)
};

// (x_2i, x_2i+1) as a complex number times exp(j position_t f_i).   x [T, H, R], positions [T], f [R / 2], y [T, H, R]
template <class Real>
void rope(const RopeShape& s, const Real* x, const std::int32_t* positions, const Real* frequencies, Real* y) {
  for (std::ptrdiff_t v = 0; v < s.T * s.H; ++v)
    for (std::ptrdiff_t i = 0; i < s.R / 2; ++i) {
      const Real angle = static_cast<Real>(positions[v / s.H]) * frequencies[i];
      const Real cosine = std::cos(angle), sine = std::sin(angle);
      const Real a = x[v * s.R + 2 * i], b = x[v * s.R + 2 * i + 1];
      y[v * s.R + 2 * i] = a * cosine - b * sine;
      y[v * s.R + 2 * i + 1] = a * sine + b * cosine;
    }
}

// A rotation's transpose is the rotation by the opposite angle.   dy [T, H, R], d_x [T, H, R]
template <class Real>
void rope_backward(const RopeShape& s, const Real* dy, const std::int32_t* positions, const Real* frequencies,
                   Real* d_x) {
  for (std::ptrdiff_t v = 0; v < s.T * s.H; ++v)
    for (std::ptrdiff_t i = 0; i < s.R / 2; ++i) {
      const Real angle = -static_cast<Real>(positions[v / s.H]) * frequencies[i];
      const Real cosine = std::cos(angle), sine = std::sin(angle);
      const Real a = dy[v * s.R + 2 * i], b = dy[v * s.R + 2 * i + 1];
      d_x[v * s.R + 2 * i] += a * cosine - b * sine;
      d_x[v * s.R + 2 * i + 1] += a * sine + b * cosine;
    }
}

}  // namespace hadal::ref
