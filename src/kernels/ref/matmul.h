// The oracle of kernels/matmul.h: a matrix product with the weights as they are
// stored, one dot product an output, and its gradients. Written to be read, not to
// be fast; the tests compare the fast kernels with it in double.
//
// For all of ref/: templates on the number type, plain pointers, row-major; outputs
// are written, gradients (d_...) are ADDED to what is there, and a null gradient is
// not wanted. No state: any thread may call.
#pragma once

#include <cstddef>

namespace hadal::ref {

struct MatmulShape {
  std::ptrdiff_t M, N, K;  // rows, outputs, inputs
};

// y = x W^T: y_mn = sum_k x_mk w_nk.   x [M, K], w [N, K], y [M, N]
template <class Real>
void matmul(const MatmulShape& s, const Real* x, const Real* w, Real* y) {
  for (std::ptrdiff_t m = 0; m < s.M; ++m)
    for (std::ptrdiff_t n = 0; n < s.N; ++n) {
      Real sum = 0;
      for (std::ptrdiff_t k = 0; k < s.K; ++k) sum += x[m * s.K + k] * w[n * s.K + k];
      y[m * s.N + n] = sum;
    }
}

// dx = dy W, dW = dy^T x: dL/dx_mk = sum_n dy_mn w_nk, dL/dw_nk = sum_m dy_mn x_mk (chain rule on the line above).
// dy [M, N], d_x [M, K], d_w [N, K]
template <class Real>
void matmul_backward(const MatmulShape& s, const Real* x, const Real* w, const Real* dy, Real* d_x, Real* d_w) {
  for (std::ptrdiff_t m = 0; m < s.M; ++m)
    for (std::ptrdiff_t n = 0; n < s.N; ++n) {
      const Real d = dy[m * s.N + n];
      for (std::ptrdiff_t k = 0; k < s.K; ++k) {
        if (d_x) d_x[m * s.K + k] += d * w[n * s.K + k];
        if (d_w) d_w[n * s.K + k] += d * x[m * s.K + k];
      }
    }
}

}  // namespace hadal::ref
