// Backward of multi-head latent attention in expanded order (model/mla.cc): products, norms and rotations in reverse.
#include <algorithm>
#include <cstring>

#include "kernels/kernel_table.h"
#include "kernels/rope.h"
#include "trainer/backward.h"

namespace hadal {
namespace {

// Turns the rotated parts back, and sums the heads' shares into the last R columns of d_kv_a.
void rope_backward(const PassContext& pass, BackwardScratch& s) {
  const ModelConfig& c = pass.config;
  const int heads = c.num_attention_heads, key = c.qk_head_dim(), rope = c.qk_rope_head_dim;
  for_rows(pass.compute, pass.rows, [&](int t) {
    const float* cos_sin = pass.rope_TR + static_cast<std::ptrdiff_t>(t) * rope;
    for (int h = 0; h < heads; ++h)
      rope_rotate(cos_sin, rope / 2, -1,
                  s.d_q_THA.data() + (static_cast<std::ptrdiff_t>(t) * heads + h) * key + c.qk_nope_head_dim);
    float* d_pe = s.d_kv_a_TW.data() + static_cast<std::ptrdiff_t>(t) * c.latent_row_width() + c.kv_lora_rank;
    const float* shares = s.d_k_pe_THR.data() + static_cast<std::ptrdiff_t>(t) * heads * rope;
    std::memcpy(d_pe, shares, size(rope, 4));
    for (int h = 1; h < heads; ++h)
      for (int i = 0; i < rope; ++i) d_pe[i] += shares[h * rope + i];
    rope_rotate(cos_sin, rope / 2, -1, d_pe);
  });
}

}  // namespace

void mla_backward(const PassContext& pass, const AttentionWeights& w, const AttentionTransposed& wt, const float* x_in,
                  const AttentionActivations& a, BlockGradients& g, float* d_x, BackwardScratch& s) {
  const ModelConfig& c = pass.config;
  const int rows = pass.rows, d = c.hidden_size, heads = c.num_attention_heads, latent = c.kv_lora_rank,
            wide = c.latent_row_width();
  const int q_width = heads * c.qk_head_dim(), out_width = heads * c.v_head_dim,
            kv_width = heads * (c.qk_nope_head_dim + c.v_head_dim);
  float* d_out = s.d_out_THV.ensure(size(rows, out_width));
  float* d_kv_a = s.d_kv_a_TW.ensure(size(rows, wide));
  float* d_latent = s.d_latent_TC.ensure(size(rows, latent));
  float* d_norm = s.d_norm_TD.ensure(size(rows, d));

  matmul(pass.compute, through_matrix(pass, wt.o_proj, d_x, d_out, false));
  attention_core_backward(pass, a, s);
  rope_backward(pass, s);
  const float *d_q = s.d_q_THA.data(), *d_kv = s.d_kv_THB.data();
  matmul(pass.compute, through_matrix(pass, wt.kv_b_proj, d_kv, d_latent, false));
  norm_rows_backward(pass.compute,
                     {rows, latent, a.kv_a_TW.data(), wide, w.kv_a_layernorm.data(), d_latent, latent,
                      a.latent_scale_T.data(), d_kv_a, wide, false, g.kv_a_layernorm},
                     s.norm_partials);
  matmul(pass.compute, through_matrix(pass, wt.kv_a_proj, d_kv_a, d_norm, false));

  s.weight_jobs.clear();
  s.weight_jobs.push_back(matrix_gradient(pass, d_x, d, a.out_THV.data(), out_width, g.o_proj));
  s.weight_jobs.push_back(matrix_gradient(pass, d_kv, kv_width, a.latent_TC.data(), latent, g.kv_b_proj));
  s.weight_jobs.push_back(matrix_gradient(pass, d_kv_a, wide, a.norm_TD.data(), d, g.kv_a_proj));
  if (c.q_lora_rank > 0) {
    const int rank = c.q_lora_rank;
    float* d_q_norm = s.d_q_norm_TQ.ensure(size(rows, rank));
    float* d_q_a = s.d_q_a_TQ.ensure(size(rows, rank));
    matmul(pass.compute, through_matrix(pass, wt.q_b_proj, d_q, d_q_norm, false));
    norm_rows_backward(pass.compute,
                       {rows, rank, a.q_a_TQ.data(), rank, w.q_a_layernorm.data(), d_q_norm, rank, a.q_a_scale_T.data(),
                        d_q_a, rank, false, g.q_a_layernorm},
                       s.norm_partials);
    matmul(pass.compute, through_matrix(pass, wt.q_a_proj, d_q_a, d_norm, true));
    s.weight_jobs.push_back(matrix_gradient(pass, d_q, q_width, a.q_a_norm_TQ.data(), rank, g.q_b_proj));
    s.weight_jobs.push_back(matrix_gradient(pass, d_q_a, rank, a.norm_TD.data(), d, g.q_a_proj));
  } else {
    matmul(pass.compute, through_matrix(pass, wt.q_proj, d_q, d_norm, true));
    s.weight_jobs.push_back(matrix_gradient(pass, d_q, q_width, a.norm_TD.data(), d, g.q_proj));
  }
  weight_gradient(pass.compute, s.weight_jobs);
  norm_rows_backward(
      pass.compute,
      {rows, d, x_in, d, w.input_layernorm.data(), d_norm, d, a.norm_scale_T.data(), d_x, d, true, g.input_layernorm},
      s.norm_partials);
}

}  // namespace hadal
