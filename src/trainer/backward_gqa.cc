// Backward of grouped-query attention (model/gqa.cc): each query head gives its own share of the gradient of its
// group's key and value, and these are added up.
#include <algorithm>
#include <cstring>

#include "kernels/kernel_table.h"
#include "trainer/backward.h"

namespace hadal {
namespace {

// The shares [T, H, key | value] of the heads to the gradients of the groups' keys, turned back, and values; queries
// are turned back in place.
void join_groups(const PassContext& pass, BackwardScratch& s) {
  const ModelConfig& c = pass.config;
  const int heads = c.num_attention_heads, groups = c.num_key_value_heads, width = c.head_dim, share = heads / groups;
  float* d_k = s.d_k_TGA.ensure(size(pass.rows, groups * width));
  float* d_v = s.d_v_TGA.ensure(size(pass.rows, groups * width));
  for_rows(pass.compute, pass.rows, [&](int t) {
    const float* cos_sin = pass.rope_TR + static_cast<std::ptrdiff_t>(t) * width;
    for (int h = 0; h < heads; ++h)
      rotate_head(c, cos_sin, -1, s.d_q_THA.data() + (static_cast<std::ptrdiff_t>(t) * heads + h) * width);
    for (int g = 0; g < groups; ++g) {
      const float* shares = s.d_kv_THB.data() + (static_cast<std::ptrdiff_t>(t) * heads + g * share) * 2 * width;
      float* key = d_k + (static_cast<std::ptrdiff_t>(t) * groups + g) * width;
      float* value = d_v + (static_cast<std::ptrdiff_t>(t) * groups + g) * width;
      std::memcpy(key, shares, size(width, 4));
      std::memcpy(value, shares + width, size(width, 4));
      for (int h = 1; h < share; ++h) {
        pass.compute.kernels->add_scaled(shares + h * 2 * width, 1.0f, width, key);
        pass.compute.kernels->add_scaled(shares + h * 2 * width + width, 1.0f, width, value);
      }
      rotate_head(c, cos_sin, -1, key);
    }
  });
}

}  // namespace

void gqa_backward(const PassContext& pass, const AttentionWeights& w, const AttentionTransposed& wt, const float* x_in,
                  const AttentionActivations& a, BlockGradients& g, float* d_x, BackwardScratch& s) {
  const ModelConfig& c = pass.config;
  const int rows = pass.rows, d = c.hidden_size, width = c.head_dim, q_width = c.num_attention_heads * width,
            kv_width = c.num_key_value_heads * width;
  float* d_norm = s.d_norm_TD.ensure(size(rows, d));
  matmul(pass.compute, through_matrix(pass, wt.o_proj, d_x, s.d_out_THV.ensure(size(rows, q_width)), false));
  attention_core_backward(pass, a, s);
  join_groups(pass, s);
  const float *d_q = s.d_q_THA.data(), *d_k = s.d_k_TGA.data(), *d_v = s.d_v_TGA.data();
  matmul(pass.compute, through_matrix(pass, wt.q_proj, d_q, d_norm, false));
  matmul(pass.compute, through_matrix(pass, wt.k_proj, d_k, d_norm, true));
  matmul(pass.compute, through_matrix(pass, wt.v_proj, d_v, d_norm, true));

  const float* norm = a.norm_TD.data();
  const WeightGradientJob jobs[] = {matrix_gradient(pass, d_x, d, a.out_THV.data(), q_width, g.o_proj),
                                    matrix_gradient(pass, d_q, q_width, norm, d, g.q_proj),
                                    matrix_gradient(pass, d_k, kv_width, norm, d, g.k_proj),
                                    matrix_gradient(pass, d_v, kv_width, norm, d, g.v_proj)};
  weight_gradient(pass.compute, jobs);
  if (c.qkv_bias) {
    add_column_sums(pass.compute, rows, q_width, d_q, g.q_bias);
    add_column_sums(pass.compute, rows, kv_width, d_k, g.k_bias);
    add_column_sums(pass.compute, rows, kv_width, d_v, g.v_bias);
  }
  norm_rows_backward(
      pass.compute,
      {rows, d, x_in, d, w.input_layernorm.data(), d_norm, d, a.norm_scale_T.data(), d_x, d, true, g.input_layernorm},
      s.norm_partials);
}

}  // namespace hadal
