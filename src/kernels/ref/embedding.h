// Rows of the embedding table by token, and the gradient scattered back. See
// ref/matmul.h for the conventions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hadal::ref {

struct EmbeddingShape {
  std::ptrdiff_t T, D;  // tokens, hidden
};

// y_t = table_token(t).   tokens [T], table [vocabulary, D], y [T, D]
template <class Real>
void embedding(const EmbeddingShape& s, const std::int32_t* tokens, const Real* table, Real* y) {
  for (std::ptrdiff_t t = 0; t < s.T; ++t)
    for (std::ptrdiff_t d = 0; d < s.D; ++d) y[t * s.D + d] = table[tokens[t] * s.D + d];
}

// A token that occurs twice collects both gradients.   dy [T, D], d_table [vocabulary, D]
template <class Real>
void embedding_backward(const EmbeddingShape& s, const std::int32_t* tokens, const Real* dy, Real* d_table) {
  for (std::ptrdiff_t t = 0; t < s.T; ++t)
    for (std::ptrdiff_t d = 0; d < s.D; ++d) d_table[tokens[t] * s.D + d] += dy[t * s.D + d];
}

}  // namespace hadal::ref
