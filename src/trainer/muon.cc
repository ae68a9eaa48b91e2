#include "trainer/muon.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace hadal {
namespace {

constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;

}  // namespace

void NewtonSchulz::prepare(int count, int rows, int cols) {
  const auto n = static_cast<std::size_t>(count);
  if (rows != rows_ || cols != cols_) {
    packed_x_.clear();
    packed_a_.clear();
    packed_xt_.clear();
    rows_ = rows;
    cols_ = cols;
  }
  while (packed_x_.size() < n) {
    packed_x_.emplace_back().allocate(compute_.arithmetic, rows, cols);
    packed_a_.emplace_back().allocate(compute_.arithmetic, rows, rows);
    packed_xt_.emplace_back().allocate(compute_.arithmetic, cols, rows);
  }
  next_.resize(n * static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
  a_.resize(n * static_cast<std::size_t>(rows) * static_cast<std::size_t>(rows));
  poly_.resize(a_.size());
}

void NewtonSchulz::normalise(std::span<float> x, int count) {
  const std::size_t elements = static_cast<std::size_t>(rows_) * static_cast<std::size_t>(cols_);
  compute_.pool->parallel_for(count, [&](int i, int) {
    const auto matrix = x.subspan(static_cast<std::size_t>(i) * elements, elements);
    double sum = 0;
    for (const float v : matrix) sum += static_cast<double>(v) * v;
    if (sum < 1e-60) return;  // 1 / its root is no float
    const float scale = static_cast<float>(1.0 / std::sqrt(sum));
    for (float& v : matrix) v *= scale;
  });
}

void NewtonSchulz::iterate(std::span<float> x, int count) {
  const std::size_t r = static_cast<std::size_t>(rows_), c = static_cast<std::size_t>(cols_);
  const auto n = static_cast<std::size_t>(count);
  // A = X X^T
  pack_jobs_.clear();
  matmul_jobs_.clear();
  for (std::size_t i = 0; i < n; ++i) {
    pack_jobs_.push_back({.from = &x[i * r * c], .stride = cols_, .to = &packed_x_[i]});
    matmul_jobs_.push_back({.weights = &packed_x_[i],
                            .x = &x[i * r * c],
                            .x_stride = cols_,
                            .y = &a_[i * r * r],
                            .y_stride = rows_,
                            .rows = rows_});
  }
  pack(compute_, pack_jobs_);
  matmul(compute_, matmul_jobs_);
  // P = a I + b A + c A^2; A is its own transpose
  pack_jobs_.clear();
  matmul_jobs_.clear();
  for (std::size_t i = 0; i < n; ++i) {
    pack_jobs_.push_back({.from = &a_[i * r * r], .stride = rows_, .to = &packed_a_[i]});
    matmul_jobs_.push_back({.weights = &packed_a_[i],
                            .x = &a_[i * r * r],
                            .x_stride = rows_,
                            .y = &poly_[i * r * r],
                            .y_stride = rows_,
                            .rows = rows_});
  }
  pack(compute_, pack_jobs_);
  matmul(compute_, matmul_jobs_);
  compute_.pool->parallel_for(count, [&](int i, int) {
    const float* a = &a_[static_cast<std::size_t>(i) * r * r];
    float* p = &poly_[static_cast<std::size_t>(i) * r * r];
    for (std::size_t j = 0; j < r * r; ++j) p[j] = kB * a[j] + kC * p[j];
    for (std::size_t j = 0; j < r; ++j) p[j * r + j] += kA;
  });
  // X = P X, a product with (X^T)^T
  pack_jobs_.clear();
  matmul_jobs_.clear();
  for (std::size_t i = 0; i < n; ++i) {
    pack_jobs_.push_back({.from = &x[i * r * c], .stride = cols_, .to = &packed_xt_[i], .transposed = true});
    matmul_jobs_.push_back({.weights = &packed_xt_[i],
                            .x = &poly_[i * r * r],
                            .x_stride = rows_,
                            .y = &next_[i * r * c],
                            .y_stride = cols_,
                            .rows = rows_});
  }
  pack(compute_, pack_jobs_);
  matmul(compute_, matmul_jobs_);
  compute_.pool->parallel_for(count, [&](int i, int) {
    std::copy_n(&next_[static_cast<std::size_t>(i) * r * c], r * c, &x[static_cast<std::size_t>(i) * r * c]);
  });
}

void NewtonSchulz::orthogonalise(std::span<float> x, int count, int rows, int cols, int steps) {
  HADAL_CHECK(rows <= cols && x.size() == static_cast<std::size_t>(count) * static_cast<std::size_t>(rows) *
                                              static_cast<std::size_t>(cols));
  prepare(count, rows, cols);
  normalise(x, count);
  for (int i = 0; i < steps; ++i) iterate(x, count);
}

}  // namespace hadal
