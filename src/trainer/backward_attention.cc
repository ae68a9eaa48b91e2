// Backward of multi-head latent attention in expanded order; the equations of the softmax core stand in
// kernels/simd/attention.inl, the rest are products and norms taken in reverse.
#include <algorithm>
#include <cstring>

#include "kernels/kernel_table.h"
#include "kernels/rope.h"
#include "trainer/backward.h"

namespace hadal {
namespace {

std::size_t size(int a, int b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}
constexpr int kRows = 64;

// dW (+)= dy^T x over all rows of the batch.
WeightGradientJob full(const PassContext& pass, const float* dy, int outputs, const float* x, int inputs, float* dw) {
  return {.dy = dy,
          .dy_stride = outputs,
          .x = x,
          .x_stride = inputs,
          .dw = dw,
          .dw_stride = inputs,
          .rows = pass.rows,
          .outputs = outputs,
          .inputs = inputs};
}

MatmulJob through(const PassContext& pass, const PackedMatrix& transposed, const float* dy, float* dx,
                  bool accumulate) {
  return {.weights = &transposed,
          .x = dy,
          .x_stride = transposed.inputs(),
          .y = dx,
          .y_stride = transposed.outputs(),
          .rows = pass.rows,
          .accumulate = accumulate};
}

// Softmax core: d_out -> d_q, d_kv and each head's share of the shared key.
void core_backward(const PassContext& pass, const AttentionActivations& a, BackwardScratch& s) {
  const ModelConfig& c = pass.config;
  const int heads = c.num_attention_heads, key = c.qk_head_dim(), pair = c.qk_nope_head_dim + c.v_head_dim,
            rope = c.qk_rope_head_dim;
  s.tiles.clear();
  for (const AttentionTile& f : a.tiles) {
    const std::ptrdiff_t at = f.q - a.q_THK.data();  // the tile's first row and head, recovered from its query
    const std::ptrdiff_t t = at / (static_cast<std::ptrdiff_t>(heads) * key),
                         h = at % (static_cast<std::ptrdiff_t>(heads) * key) / key;
    AttentionTileBackward b{};
    b.forward = f;
    b.d_out_stride = static_cast<std::ptrdiff_t>(heads) * c.v_head_dim;
    b.d_out = s.d_out_THV.data() + t * b.d_out_stride + h * c.v_head_dim;
    b.d_q_stride = static_cast<std::ptrdiff_t>(heads) * key;
    b.d_q = s.d_q_THK.data() + t * b.d_q_stride + h * key;
    b.d_k_nope_stride = b.d_v_stride = static_cast<std::ptrdiff_t>(heads) * pair;
    b.d_k_nope = s.d_kv_THB.data() + t * b.d_k_nope_stride + h * pair;
    b.d_v = b.d_k_nope + c.qk_nope_head_dim;
    b.d_k_pe_stride = static_cast<std::ptrdiff_t>(heads) * rope;
    b.d_k_pe = s.d_k_pe_THR.data() + t * b.d_k_pe_stride + h * rope;
    s.tiles.push_back(b);
  }
  attention_backward(pass.compute, s.tiles);
}

// Turns the rotated parts back, and sums the heads' shares into the last R columns of d_kv_a.
void rope_backward(const PassContext& pass, BackwardScratch& s) {
  const ModelConfig& c = pass.config;
  const int heads = c.num_attention_heads, key = c.qk_head_dim(), rope = c.qk_rope_head_dim;
  pass.compute.pool->parallel_for((pass.rows + kRows - 1) / kRows, [&](int block, int) {
    for (int t = block * kRows; t < std::min(pass.rows, (block + 1) * kRows); ++t) {
      const float* cos_sin = pass.rope_TR + static_cast<std::ptrdiff_t>(t) * rope;
      for (int h = 0; h < heads; ++h)
        rope_rotate(cos_sin, rope / 2, -1,
                    s.d_q_THK.data() + (static_cast<std::ptrdiff_t>(t) * heads + h) * key + c.qk_nope_head_dim);
      float* d_pe = s.d_kv_a_TW.data() + static_cast<std::ptrdiff_t>(t) * c.latent_row_width() + c.kv_lora_rank;
      const float* shares = s.d_k_pe_THR.data() + static_cast<std::ptrdiff_t>(t) * heads * rope;
      std::memcpy(d_pe, shares, size(rope, 4));
      for (int h = 1; h < heads; ++h)
        for (int i = 0; i < rope; ++i) d_pe[i] += shares[h * rope + i];
      rope_rotate(cos_sin, rope / 2, -1, d_pe);
    }
  });
}

}  // namespace

void norm_rows_backward(const Compute& compute, const NormBackward& job, FloatBuffer& partials) {
  const int blocks = (job.rows + kRows - 1) / kRows;
  float* sums = partials.ensure(size(blocks, job.n));
  compute.pool->parallel_for(blocks, [&](int block, int) {
    float* d_w = sums + static_cast<std::ptrdiff_t>(block) * job.n;
    std::memset(d_w, 0, size(job.n, 4));
    for (int t = block * kRows; t < std::min(job.rows, (block + 1) * kRows); ++t)
      compute.kernels->rms_norm_backward(job.x + t * job.x_stride, job.w, job.d_y + t * job.d_y_stride, job.scale_T[t],
                                         job.n, job.d_x + t * job.d_x_stride, job.accumulate, d_w);
  });
  for (int block = 0; block < blocks; ++block)
    compute.kernels->add_scaled(sums + static_cast<std::ptrdiff_t>(block) * job.n, 1.0f, job.n, job.d_w);
}

void mla_backward(const PassContext& pass, const AttentionWeights& w, const AttentionTransposed& wt, const float* x_in,
                  const AttentionActivations& a, BlockGradients& g, float* d_x, BackwardScratch& s) {
  const ModelConfig& c = pass.config;
  const int rows = pass.rows, d = c.hidden_size, heads = c.num_attention_heads, latent = c.kv_lora_rank,
            wide = c.latent_row_width();
  const int q_width = heads * c.qk_head_dim(), out_width = heads * c.v_head_dim,
            kv_width = heads * (c.qk_nope_head_dim + c.v_head_dim);
  float* d_out = s.d_out_THV.ensure(size(rows, out_width));
  float* d_q = s.d_q_THK.ensure(size(rows, q_width));
  float* d_kv = s.d_kv_THB.ensure(size(rows, kv_width));
  float* d_kv_a = s.d_kv_a_TW.ensure(size(rows, wide));
  float* d_latent = s.d_latent_TC.ensure(size(rows, latent));
  float* d_norm = s.d_norm_TD.ensure(size(rows, d));
  s.d_k_pe_THR.ensure(size(rows, heads * c.qk_rope_head_dim));

  matmul(pass.compute, through(pass, wt.o_proj, d_x, d_out, false));
  core_backward(pass, a, s);
  rope_backward(pass, s);
  matmul(pass.compute, through(pass, wt.kv_b_proj, d_kv, d_latent, false));
  norm_rows_backward(pass.compute,
                     {rows, latent, a.kv_a_TW.data(), wide, w.kv_a_layernorm.data(), d_latent, latent,
                      a.latent_scale_T.data(), d_kv_a, wide, false, g.kv_a_layernorm},
                     s.norm_partials);
  matmul(pass.compute, through(pass, wt.kv_a_proj, d_kv_a, d_norm, false));

  s.weight_jobs.clear();
  s.weight_jobs.push_back(full(pass, d_x, d, a.out_THV.data(), out_width, g.o_proj));
  s.weight_jobs.push_back(full(pass, d_kv, kv_width, a.latent_TC.data(), latent, g.kv_b_proj));
  s.weight_jobs.push_back(full(pass, d_kv_a, wide, a.norm_TD.data(), d, g.kv_a_proj));
  if (c.q_lora_rank > 0) {
    const int rank = c.q_lora_rank;
    float* d_q_norm = s.d_q_norm_TQ.ensure(size(rows, rank));
    float* d_q_a = s.d_q_a_TQ.ensure(size(rows, rank));
    matmul(pass.compute, through(pass, wt.q_b_proj, d_q, d_q_norm, false));
    norm_rows_backward(pass.compute,
                       {rows, rank, a.q_a_TQ.data(), rank, w.q_a_layernorm.data(), d_q_norm, rank, a.q_a_scale_T.data(),
                        d_q_a, rank, false, g.q_a_layernorm},
                       s.norm_partials);
    matmul(pass.compute, through(pass, wt.q_a_proj, d_q_a, d_norm, true));
    s.weight_jobs.push_back(full(pass, d_q, q_width, a.q_a_norm_TQ.data(), rank, g.q_b_proj));
    s.weight_jobs.push_back(full(pass, d_q_a, rank, a.norm_TD.data(), d, g.q_a_proj));
  } else {
    matmul(pass.compute, through(pass, wt.q_proj, d_q, d_norm, true));
    s.weight_jobs.push_back(full(pass, d_q, q_width, a.norm_TD.data(), d, g.q_proj));
  }
  weight_gradient(pass.compute, s.weight_jobs);
  norm_rows_backward(
      pass.compute,
      {rows, d, x_in, d, w.input_layernorm.data(), d_norm, d, a.norm_scale_T.data(), d_x, d, true, g.input_layernorm},
      s.norm_partials);
}

}  // namespace hadal
