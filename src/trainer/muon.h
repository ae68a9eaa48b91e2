// Muon's orthogonalisation: Newton-Schulz iterations on one matrix.
//
// X <- (a I + b A + c A^2) X with A = X X^T drives the singular values of X towards 1 (MODELS.md 11.4; coefficients
// 3.4445, -4.7750, 2.0315). The products run on the kernels' matmul, with bf16 on the right when the Compute is fast:
// the iteration only aims at [0.7, 1.2], which its rounding does not disturb. All iterations of a matrix are one
// thread's, so that they find it in that core's cache.
// Threads: each has a NewtonSchulz of its own, whose workspace is kept while matrices have the same shape. With more
// threads than matrices some rest.
#pragma once

#include <span>
#include <vector>

#include "kernels/compute.h"
#include "kernels/matmul.h"

namespace hadal {

// In double, in an order that depends on the size alone.
double sum_of_squares(std::span<const float> x);

class NewtonSchulz {
 public:
  explicit NewtonSchulz(const Compute& compute) : compute_(compute) {}

  // x [rows, cols], rows <= cols: divided by its Frobenius norm, then `steps` iterations. Zeros stay zeros.
  void orthogonalise(std::span<float> x, int rows, int cols, int steps);

 private:
  void prepare(int rows, int cols);
  void iterate(const float* x, float* next);

  Compute compute_;
  int rows_ = 0, cols_ = 0;
  std::vector<float> next_;      // [rows, cols]
  std::vector<float> a_, poly_;  // [rows, rows]
  PackedMatrix packed_x_, packed_a_, packed_xt_;
};

}  // namespace hadal
