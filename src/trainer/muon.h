// Muon's orthogonalisation: Newton-Schulz iterations on many matrices at once.
//
// X <- (a I + b A + c A^2) X with A = X X^T drives the singular values of X towards 1 (MODELS.md 11.4; coefficients
// 3.4445, -4.7750, 2.0315). The products run on the kernels' matmul, in bf16 when the Compute is fast: the
// iteration only aims at [0.7, 1.2], which its rounding does not disturb. Workspace is kept between calls.
// Threads: one caller; the Compute's pool does the work.
#pragma once

#include <span>
#include <vector>

#include "kernels/compute.h"
#include "kernels/matmul.h"

namespace hadal {

class NewtonSchulz {
 public:
  explicit NewtonSchulz(const Compute& compute) : compute_(compute) {}

  // Each of `count` matrices [rows, cols], rows <= cols, one after another in x: divided by its Frobenius norm, then
  // `steps` iterations. A matrix of zeros stays zero.
  void orthogonalise(std::span<float> x, int count, int rows, int cols, int steps);

 private:
  void prepare(int count, int rows, int cols);
  void normalise(std::span<float> x, int count);
  void iterate(std::span<float> x, int count);

  Compute compute_;
  int rows_ = 0, cols_ = 0;
  std::vector<float> next_;      // [count, rows, cols]
  std::vector<float> a_, poly_;  // [count, rows, rows]
  std::vector<PackedMatrix> packed_x_, packed_a_, packed_xt_;
  std::vector<PackJob> pack_jobs_;
  std::vector<MatmulJob> matmul_jobs_;
};

}  // namespace hadal
