#include "trainer/muon.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace hadal {
namespace {

constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;

void normalise(std::span<float> x) {
  const double sum = sum_of_squares(x);
  if (sum < 1e-60) return;  // 1 / its root is no float
  const float scale = static_cast<float>(1.0 / std::sqrt(sum));
  for (float& v : x) v *= scale;
}

}  // namespace

double sum_of_squares(std::span<const float> x) {
  double sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= x.size(); i += 8)
    for (std::size_t j = 0; j < 8; ++j) sums[j] += static_cast<double>(x[i + j]) * x[i + j];
  for (; i < x.size(); ++i) sums[0] += static_cast<double>(x[i]) * x[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

void NewtonSchulz::prepare(int rows, int cols) {
  if (rows == rows_ && cols == cols_) return;
  rows_ = rows;
  cols_ = cols;
  const auto r = static_cast<std::size_t>(rows), c = static_cast<std::size_t>(cols);
  next_.resize(r * c);
  a_.resize(r * r);
  poly_.resize(r * r);
  packed_x_.allocate(compute_.arithmetic, rows, cols);
  packed_a_.allocate(compute_.arithmetic, rows, rows);
  packed_xt_.allocate(compute_.arithmetic, cols, rows);
}

void NewtonSchulz::iterate(const float* x, float* next) {
  // y [rows, outputs of w] = left w^T
  const auto multiply = [&](const float* left, const PackedMatrix& w, float* y) {
    matmul_here(compute_,
                {.weights = &w, .x = left, .x_stride = w.inputs(), .y = y, .y_stride = w.outputs(), .rows = rows_});
  };
  // A = X X^T
  pack_here(compute_, {.from = x, .stride = cols_, .to = &packed_x_});
  multiply(x, packed_x_, a_.data());
  // P = a I + b A + c A^2; A is its own transpose
  pack_here(compute_, {.from = a_.data(), .stride = rows_, .to = &packed_a_});
  multiply(a_.data(), packed_a_, poly_.data());
  for (std::size_t i = 0; i < poly_.size(); ++i) poly_[i] = kB * a_[i] + kC * poly_[i];
  for (std::size_t i = 0; i < poly_.size(); i += static_cast<std::size_t>(rows_) + 1) poly_[i] += kA;
  // P X, a product with (X^T)^T
  pack_here(compute_, {.from = x, .stride = cols_, .to = &packed_xt_, .transposed = true});
  multiply(poly_.data(), packed_xt_, next);
}

void NewtonSchulz::orthogonalise(std::span<float> x, int rows, int cols, int steps) {
  HADAL_CHECK(rows <= cols && x.size() == static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
  prepare(rows, cols);
  normalise(x);
  float *from = x.data(), *to = next_.data();
  for (int i = 0; i < steps; ++i, std::swap(from, to)) iterate(from, to);
  if (from != x.data()) std::copy_n(from, x.size(), x.data());
}

}  // namespace hadal
