// The backward pass of a block, written by hand beside the forward code of
// model/: each function takes the gradient at a block part's output, what the
// forward pass left in the activations, and gives the gradient at its input,
// adding weight gradients on the way.
//
// The choice of experts is a constant of the step. Sums over rows go through
// partial sums of fixed blocks, so a result does not depend on which thread
// took which block.
// Threads: one caller; the Compute's pool does the work.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "kernels/attention.h"
#include "kernels/matmul.h"
#include "model/block.h"

namespace hadal {

// W^T of every matrix, packed: dx = dy W is a product with it.
struct AttentionTransposed {
  PackedMatrix q_proj, q_a_proj, q_b_proj, kv_a_proj, kv_b_proj, o_proj;
  PackedMatrix k_proj, v_proj;  // grouped queries
};
struct FfnTransposed {
  PackedMatrix gate_up;  // [D, up_offset(F) + F]
  PackedMatrix down;     // [F, D]
};
struct BlockTransposed {
  AttentionTransposed attention;
  FfnTransposed dense, shared;
  PackedMatrix router;
  std::vector<FfnTransposed> experts;
};

// Where the gradient of each tensor of a block is added; null: the block has no such tensor.
struct FfnGradients {
  float *gate = nullptr, *up = nullptr, *down = nullptr;
};
struct BlockGradients {
  float *input_layernorm = nullptr, *post_attention_layernorm = nullptr;
  float *q_proj = nullptr, *q_a_proj = nullptr, *q_a_layernorm = nullptr, *q_b_proj = nullptr;
  float *kv_a_proj = nullptr, *kv_a_layernorm = nullptr, *kv_b_proj = nullptr, *o_proj = nullptr;
  float *k_proj = nullptr, *v_proj = nullptr, *q_bias = nullptr, *k_bias = nullptr, *v_bias = nullptr;
  float* router = nullptr;
  FfnGradients dense, shared;
  std::vector<FfnGradients> experts;
};

// Memory of the backward pass, used again by each layer.
struct BackwardScratch {
  FloatBuffer d_norm_TD, d_act, d_gate_up, d_expert_act, d_expert_gate_up, d_expert_norm_SD, d_weights_TK, d_logits_TE;
  FloatBuffer d_out_THV, d_q_THA, d_q_norm_TQ, d_q_a_TQ, d_kv_THB, d_k_pe_THR, d_latent_TC, d_kv_a_TW, d_k_TGA, d_v_TGA;
  FloatBuffer d_joined_kv_SHB, d_joined_pe_SHR;  // of keys and values that were joined
  FloatBuffer norm_partials;
  std::vector<AttentionTileBackward> tiles;
  std::vector<MatmulJob> jobs;
  std::vector<WeightGradientJob> weight_jobs;
};

// The sequence-wise balance loss of one layer (V3 report eq. 17 to 20): alpha 0 for none.
struct BalanceLoss {
  double alpha = 0;
  double value = 0;  // out: added up over layers, mean over sequences
};

// In: d_x = gradient at the block part's output [T, D]. Out: d_x = gradient at its input (the residual path included).
void ffn_backward(const PassContext& pass, const BlockWeights& w, const BlockTransposed& wt, const float* x_mid,
                  const FfnActivations& a, BalanceLoss& balance, BlockGradients& g, float* d_x, BackwardScratch& s);
void mla_backward(const PassContext& pass, const AttentionWeights& w, const AttentionTransposed& wt, const float* x_in,
                  const AttentionActivations& a, BlockGradients& g, float* d_x, BackwardScratch& s);
void gqa_backward(const PassContext& pass, const AttentionWeights& w, const AttentionTransposed& wt, const float* x_in,
                  const AttentionActivations& a, BlockGradients& g, float* d_x, BackwardScratch& s);

// What they share. dW += dy^T x over all rows of the batch, and dx (+)= dy W.
WeightGradientJob matrix_gradient(const PassContext& pass, const float* dy, int outputs, const float* x, int inputs,
                                  float* dw);
MatmulJob through_matrix(const PassContext& pass, const PackedMatrix& transposed, const float* dy, float* dx,
                         bool accumulate);

// The softmax core: d_out_THV to d_q_THA and each head's share of the gradients of keys and values, d_kv_THB
// [T, H, N + V] and d_k_pe_THR [T, H, R].
void attention_core_backward(const PassContext& pass, const AttentionActivations& a, BackwardScratch& s);

// sums [n] += the columns of x [rows, n].
void add_column_sums(const Compute& compute, int rows, int n, const float* x, float* sums);

// Backward of norm_rows: d_x (+)= ..., d_w += ....
struct NormBackward {
  int rows, n;
  const float* x;
  std::ptrdiff_t x_stride;
  const float* w;
  const float* d_y;
  std::ptrdiff_t d_y_stride;
  const float* scale_T;
  float* d_x;
  std::ptrdiff_t d_x_stride;
  bool accumulate;
  float* d_w;
};
void norm_rows_backward(const Compute& compute, const NormBackward& job, FloatBuffer& partials);

}  // namespace hadal
