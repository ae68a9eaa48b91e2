// The oracle of kernels/attention.h: causal softmax attention of one sequence with
// keys and values of each head at hand (Vaswani et al., arXiv 1706.03762, eq. 1),
// and its gradient. Queries are the last T of the S positions. What an MLA layer
// does before and after stands in ref/mla.h. See ref/matmul.h for the conventions.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace hadal::ref {

struct AttentionShape {
  std::ptrdiff_t T, S, H, G, V;  // queries, positions, heads, key width, value width
};

// p_ts = softmax over s <= first + t of scale q_t . k_s, for one head; zeros behind.   returns p [S] of query t
template <class Real>
std::vector<Real> attention_weights(const AttentionShape& s, Real scale, const Real* q, const Real* k, std::ptrdiff_t t,
                                    std::ptrdiff_t h) {
  const std::ptrdiff_t visible = s.S - s.T + t + 1;
  std::vector<Real> p_S(static_cast<std::size_t>(s.S), 0);
  for (std::ptrdiff_t j = 0; j < visible; ++j) {
    Real dot = 0;
    for (std::ptrdiff_t g = 0; g < s.G; ++g) dot += q[(t * s.H + h) * s.G + g] * k[(j * s.H + h) * s.G + g];
    p_S[static_cast<std::size_t>(j)] = scale * dot;
  }
  const Real top = *std::max_element(p_S.begin(), p_S.begin() + visible);
  Real sum = 0;
  for (std::ptrdiff_t j = 0; j < visible; ++j)
    sum += p_S[static_cast<std::size_t>(j)] = std::exp(p_S[static_cast<std::size_t>(j)] - top);
  for (std::ptrdiff_t j = 0; j < visible; ++j) p_S[static_cast<std::size_t>(j)] /= sum;
  return p_S;
}

// o_th = sum_s p_ts v_sh.   q [T, H, G], k [S, H, G], v [S, H, V], out [T, H, V]
template <class Real>
void attention(const AttentionShape& s, Real scale, const Real* q, const Real* k, const Real* v, Real* out) {
  for (std::ptrdiff_t t = 0; t < s.T; ++t)
    for (std::ptrdiff_t h = 0; h < s.H; ++h) {
      const std::vector<Real> p_S = attention_weights(s, scale, q, k, t, h);
      for (std::ptrdiff_t i = 0; i < s.V; ++i) {
        Real sum = 0;
        for (std::ptrdiff_t j = 0; j < s.S; ++j) sum += p_S[static_cast<std::size_t>(j)] * v[(j * s.H + h) * s.V + i];
        out[(t * s.H + h) * s.V + i] = sum;
      }
    }
}

// dv_s = sum_t p_ts do_t; dp_ts = do_t . v_s; dz_ts = p_ts (dp_ts - sum_j p_tj dp_tj) (softmax);
// dq_t = scale sum_s dz_ts k_s; dk_s = scale sum_t dz_ts q_t.   d_out [T, H, V], d_q, d_k, d_v as q, k, v
template <class Real>
void attention_backward(const AttentionShape& s, Real scale, const Real* q, const Real* k, const Real* v,
                        const Real* d_out, Real* d_q, Real* d_k, Real* d_v) {
  std::vector<Real> d_p_S(static_cast<std::size_t>(s.S));
  for (std::ptrdiff_t t = 0; t < s.T; ++t)
    for (std::ptrdiff_t h = 0; h < s.H; ++h) {
      const std::vector<Real> p_S = attention_weights(s, scale, q, k, t, h);
      const Real* d_o = d_out + (t * s.H + h) * s.V;
      Real mean = 0;
      for (std::ptrdiff_t j = 0; j < s.S; ++j) {
        Real d_p = 0;
        for (std::ptrdiff_t i = 0; i < s.V; ++i) {
          d_p += d_o[i] * v[(j * s.H + h) * s.V + i];
          if (d_v) d_v[(j * s.H + h) * s.V + i] += p_S[static_cast<std::size_t>(j)] * d_o[i];
        }
        d_p_S[static_cast<std::size_t>(j)] = d_p;
        mean += p_S[static_cast<std::size_t>(j)] * d_p;
      }
      for (std::ptrdiff_t j = 0; j < s.S; ++j) {
        const Real d_z = scale * p_S[static_cast<std::size_t>(j)] * (d_p_S[static_cast<std::size_t>(j)] - mean);
        for (std::ptrdiff_t g = 0; g < s.G; ++g) {
          if (d_q) d_q[(t * s.H + h) * s.G + g] += d_z * k[(j * s.H + h) * s.G + g];
          if (d_k) d_k[(j * s.H + h) * s.G + g] += d_z * q[(t * s.H + h) * s.G + g];
        }
      }
    }
}

}  // namespace hadal::ref
