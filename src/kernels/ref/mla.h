// Multi-head latent attention of one sequence from its latents, in both orders
// (V2, arXiv 2405.04434, eq. 9-19 and appendix C; MODELS.md 2.2, 2.3). Projections
// to q and to the latent, their norms and RoPE are the caller's. Both orders are one
// formula: tests hold each against the other. See ref/matmul.h for the conventions.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "kernels/ref/attention.h"

namespace hadal::ref {

struct MlaShape {
  std::ptrdiff_t T, S;           // queries (the last T positions), positions
  std::ptrdiff_t H, N, R, V, C;  // heads, nope dim, rope dim, value dim, latent rank
};

template <class Real>
struct MlaInput {
  const Real* q;       // [T, H, N + R], the rope part rotated
  const Real* latent;  // [S, C], normalised
  const Real* k_pe;    // [S, R], rotated, shared by all heads
  const Real* kv_b;    // [H (N + V), C]: per head W_uk [N, C], then W_uv [V, C]
};

template <class Real>
struct MlaGradient {
  Real *d_q, *d_latent, *d_k_pe, *d_kv_b;  // as MlaInput, all wanted
};

// (N + R)^-1/2 m^2, m = 0.1 mscale_all_dim ln(factor) + 1 (YaRN, arXiv 2309.00071 eq. 22; V2 section 3.1.4).
inline double mla_scale(const MlaShape& s, double m = 1) {
  return m * m / std::sqrt(static_cast<double>(s.N + s.R));
}

// Keys [W_uk c | k_pe] and values W_uv c of every head.   keys [S, H, N + R], values [S, H, V]
template <class Real>
void mla_expand(const MlaShape& s, const MlaInput<Real>& in, Real* keys, Real* values) {
  for (std::ptrdiff_t j = 0; j < s.S; ++j)
    for (std::ptrdiff_t h = 0; h < s.H; ++h) {
      Real* key = keys + (j * s.H + h) * (s.N + s.R);
      for (std::ptrdiff_t i = 0; i < s.N + s.V; ++i) {
        Real sum = 0;
        for (std::ptrdiff_t c = 0; c < s.C; ++c)
          sum += in.kv_b[(h * (s.N + s.V) + i) * s.C + c] * in.latent[j * s.C + c];
        (i < s.N ? key[i] : values[(j * s.H + h) * s.V + i - s.N]) = sum;
      }
      for (std::ptrdiff_t r = 0; r < s.R; ++r) key[s.N + r] = in.k_pe[j * s.R + r];
    }
}

// out_th = attention of q over the expanded keys and values.   out [T, H, V]
template <class Real>
void mla_expanded(const MlaShape& s, Real scale, const MlaInput<Real>& in, Real* out) {
  std::vector<Real> keys(static_cast<std::size_t>(s.S * s.H * (s.N + s.R)));
  std::vector<Real> values(static_cast<std::size_t>(s.S * s.H * s.V));
  mla_expand(s, in, keys.data(), values.data());
  attention<Real>({s.T, s.S, s.H, s.N + s.R, s.V}, scale, in.q, keys.data(), values.data(), out);
}

// Attention's gradient, then each key and value's share to the latent, to W_uk and W_uv; k_pe collects from all heads.
// d_out [T, H, V]
template <class Real>
void mla_expanded_backward(const MlaShape& s, Real scale, const MlaInput<Real>& in, const Real* d_out,
                           const MlaGradient<Real>& g) {
  const std::ptrdiff_t G = s.N + s.R;
  std::vector<Real> keys(static_cast<std::size_t>(s.S * s.H * G)), values(static_cast<std::size_t>(s.S * s.H * s.V));
  std::vector<Real> d_keys(keys.size(), 0), d_values(values.size(), 0);
  mla_expand(s, in, keys.data(), values.data());
  attention_backward<Real>({s.T, s.S, s.H, G, s.V}, scale, in.q, keys.data(), values.data(), d_out, g.d_q,
                           d_keys.data(), d_values.data());
  for (std::ptrdiff_t j = 0; j < s.S; ++j)
    for (std::ptrdiff_t h = 0; h < s.H; ++h) {
      const Real* d_key = d_keys.data() + (j * s.H + h) * G;
      for (std::ptrdiff_t i = 0; i < s.N + s.V; ++i) {
        const Real d = i < s.N ? d_key[i] : d_values[static_cast<std::size_t>((j * s.H + h) * s.V + i - s.N)];
        const std::ptrdiff_t row = (h * (s.N + s.V) + i) * s.C;
        for (std::ptrdiff_t c = 0; c < s.C; ++c) {
          g.d_latent[j * s.C + c] += d * in.kv_b[row + c];
          g.d_kv_b[row + c] += d * in.latent[j * s.C + c];
        }
      }
      for (std::ptrdiff_t r = 0; r < s.R; ++r) g.d_k_pe[j * s.R + r] += d_key[s.N + r];
    }
}

// The query taken to the latents: q'_h = W_uk^T q_nope, one shared key [c | k_pe] and value c a position, and
// o_h = W_uv sum_s p_s c_s.   out [T, H, V]
template <class Real>
void mla_absorbed(const MlaShape& s, Real scale, const MlaInput<Real>& in, Real* out) {
  const std::ptrdiff_t G = s.C + s.R;
  std::vector<Real> query(static_cast<std::size_t>(G)), key(static_cast<std::size_t>(s.S * G));
  for (std::ptrdiff_t j = 0; j < s.S; ++j)
    for (std::ptrdiff_t i = 0; i < G; ++i)
      key[static_cast<std::size_t>(j * G + i)] = i < s.C ? in.latent[j * s.C + i] : in.k_pe[j * s.R + i - s.C];
  std::vector<Real> mean_C(static_cast<std::size_t>(s.C));
  for (std::ptrdiff_t t = 0; t < s.T; ++t)
    for (std::ptrdiff_t h = 0; h < s.H; ++h) {
      const Real* q = in.q + (t * s.H + h) * (s.N + s.R);
      const Real* w_uk = in.kv_b + h * (s.N + s.V) * s.C;  // [N, C]
      const Real* w_uv = w_uk + s.N * s.C;                 // [V, C]
      for (std::ptrdiff_t c = 0; c < G; ++c) {
        Real sum = c < s.C ? 0 : q[s.N + c - s.C];
        for (std::ptrdiff_t n = 0; c < s.C && n < s.N; ++n) sum += w_uk[n * s.C + c] * q[n];
        query[static_cast<std::size_t>(c)] = sum;
      }
      // One query of one head over the positions that it sees.
      const std::ptrdiff_t visible = s.S - s.T + t + 1;
      const std::vector<Real> p_S =
          attention_weights<Real>({1, visible, 1, G, s.C}, scale, query.data(), key.data(), 0, 0);
      for (std::ptrdiff_t c = 0; c < s.C; ++c) {
        Real sum = 0;
        for (std::ptrdiff_t j = 0; j < visible; ++j) sum += p_S[static_cast<std::size_t>(j)] * in.latent[j * s.C + c];
        mean_C[static_cast<std::size_t>(c)] = sum;
      }
      for (std::ptrdiff_t i = 0; i < s.V; ++i) {
        Real sum = 0;
        for (std::ptrdiff_t c = 0; c < s.C; ++c) sum += w_uv[i * s.C + c] * mean_C[static_cast<std::size_t>(c)];
        out[(t * s.H + h) * s.V + i] = sum;
      }
    }
}

}  // namespace hadal::ref
