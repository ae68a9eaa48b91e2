// What the benchmarks share: the rate of a large matrix product, the yardstick of everything made of matrix products.
// Limits of the machine itself: kernels/machine_limits.h.
#pragma once

#include <algorithm>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "kernels/matmul.h"

namespace hadal {

// Operations a second of one product [rows, 1024] x [1024, 1024], a multiply-add being two: large enough to run at full
// speed, small enough to be measured between two measurements of something else.
inline double gemm_rate(const Compute& compute, int rows) {
  constexpr int kSide = 1024;
  const std::size_t count = static_cast<std::size_t>(rows) * kSide;
  const std::vector<float> w(kSide * kSide, 0.25f);
  FloatBuffer x, y;  // on cache lines, as a model's activations
  std::fill_n(x.ensure(count), count, 0.5f);
  std::fill_n(y.ensure(count), count, 0.0f);
  PackedMatrix packed;
  packed.allocate(compute.arithmetic, kSide, kSide);
  const PackJob job{.from = w.data(), .stride = kSide, .to = &packed};
  pack(compute, std::span(&job, 1));
  const Stopwatch watch;
  matmul(compute,
         {.weights = &packed, .x = x.data(), .x_stride = kSide, .y = y.data(), .y_stride = kSide, .rows = rows});
  return 2.0 * rows * kSide * kSide / watch.elapsed().count();
}

}  // namespace hadal
