// One transformer block, and what its forward pass leaves behind.
//
//   x_mid = x_in  + o_proj(attention(RMSNorm(x_in)))     attention: MLA (mla.cc) or grouped queries (gqa.cc)
//   x_out = x_mid + FFN(RMSNorm(x_mid))                  FFN: dense SwiGLU, or experts + shared
//
// Everything computed on the way stays in BlockActivations. Inference reuses one
// for all layers; training keeps one a layer, and that is the whole difference.
// Threads: one caller; the Compute's pool does the work.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/ids.h"
#include "kernels/attention.h"
#include "kernels/router.h"
#include "model/transformer.h"
#include "model/weights.h"

namespace hadal {

// What all layers of one forward pass share.
struct PassContext {
  const Compute& compute;
  const ModelConfig& config;
  std::span<const Segment> segments;
  int rows;                  // T
  const float* rope_TR;      // cos and sin of every row's position, interleaved
  const LatentStore* store;  // where latents are cached; null: nowhere (training)
  float softmax_scale;
  RouterRule router_rule;
  std::span<const ExpertId> replayed = {};  // [moe layers, T, K] the experts to take; empty: the router chooses
};

// body(first, n) for neighbouring rows [first, first + n) of all, at most 64 at once and in one thread's share each.
template <class Body>
void for_row_blocks(const Compute& compute, int rows, Body&& body) {
  constexpr int kMost = 64, kFewest = 8;  // fewer cost less than the round trip to another core, about a µs
  const int step = std::clamp((rows + compute.pool->threads() - 1) / compute.pool->threads(), kFewest, kMost);
  compute.pool->parallel_for((rows + step - 1) / step,
                             [&](int block, int) { body(block * step, std::min(step, rows - block * step)); });
}

// body(t) for every row.
template <class Body>
void for_rows(const Compute& compute, int rows, Body&& body) {
  for_row_blocks(compute, rows, [&](int first, int n) {
    for (int t = first; t < first + n; ++t) body(t);
  });
}

// Some rows of a run in absorbed order, and some of their heads.
struct AbsorbedPart {
  int first_row, rows, first_head, heads;
};

// What a row of the batch sees of its sequence: the first row of each page, up to its own position.
struct CachedPositions {
  const std::byte* const* pages;
  int positions;
};

struct AttentionActivations {
  FloatBuffer norm_TD, norm_scale_T;             // normalised input; 1 / rms of each row
  FloatBuffer q_a_TQ, q_a_norm_TQ, q_a_scale_T;  // with query rank only
  FloatBuffer q_THA;                             // queries, rotated
  FloatBuffer kv_a_TW;                           // [T, C + R] as projected; its last R columns are rotated in place
  FloatBuffer latent_TC, latent_scale_T;         // after kv_a_layernorm
  FloatBuffer kv_THB;                            // expanded keys and values [T, H, N + V]
  FloatBuffer out_THV;                           // attention output
  FloatBuffer lse_HT;                            // log-sum-exp, head by head
  FloatBuffer k_TGA, v_TGA;                      // grouped-query attention: keys, rotated, and values
  std::vector<AttentionTile> tiles;
  // Keys and values of segments that do not start at position 0, in one piece: out of the cache, or joined.
  FloatBuffer prefix_latent_SC, prefix_pe_SR, prefix_kv_SHB;
  // Scratch of the absorbed order, which training never takes.
  FloatBuffer absorbed_q_THW, absorbed_out_THC;
  std::vector<const std::byte*> page_rows;
  std::vector<CachedPositions> cached_T;
  std::vector<AbsorbedPart> absorbed_parts;
  std::vector<MatmulJob> jobs;
};

// Tokens in expert order: slot s belongs to token slot_token_S[s]; expert e owns slots [first_slot_E[e], first_slot_E[e
// + 1]).
struct ExpertDispatch {
  std::vector<std::int32_t> first_slot_E;  // [E + 1]
  std::vector<std::int32_t> slot_token_S;  // [T * K]
  std::vector<float> slot_weight_S;        // [T * K] routing weights
  std::vector<std::int32_t> slot_of_TK;    // [T, K]
};

// Rows through one SwiGLU: y (+)= W_down (silu(W_gate x) * W_up x * weight).
struct SwigluJob {
  const FfnWeights* w;
  const float* x;              // [.., D]
  const std::int32_t* x_rows;  // row i is row x_rows[i] of x; null: row i
  const float* weights;        // [M] of the rows; null: 1
  float* gate_up;              // [M, gate_up_stride]
  float* act;                  // [M, F]
  float* y;                    // [M, D]
  int rows;                    // M
  bool accumulate;
};
struct SwigluPart {
  int job, first_row, rows;
};

struct FfnActivations {
  FloatBuffer norm_TD, norm_scale_T;
  FloatBuffer gate_up, act;           // dense or shared: [T, gate_up_stride], [T, F]
  FloatBuffer scores_TE, weights_TK;  // router
  std::vector<ExpertId> chosen_TK;
  ExpertDispatch dispatch;
  FloatBuffer expert_gate_up, expert_act, expert_out_SD;  // by slot; act carries the routing weight
  std::vector<SwigluJob> swiglu_jobs;
  std::vector<SwigluPart> parts;
  std::vector<MatmulJob> jobs;
};

struct BlockActivations {
  AttentionActivations attention;
  FloatBuffer x_mid_TD;
  FfnActivations ffn;
};

// x_in [T, D] to x_out [T, D] (different memory).
void block_forward(const PassContext& pass, int layer, const BlockWeights& weights, const float* x_in, float* x_out,
                   BlockActivations& a);

// Its halves.
void mla_forward(const PassContext& pass, int layer, const AttentionWeights& w, const float* x_in, float* x_mid,
                 AttentionActivations& a);
void gqa_forward(const PassContext& pass, int layer, const AttentionWeights& w, const float* x_in, float* x_mid,
                 AttentionActivations& a);
void ffn_forward(const PassContext& pass, int layer, const BlockWeights& w, const float* x_mid, float* x_out,
                 FfnActivations& a);

// Grouped-query attention: turns one query or key head [A] in place; direction -1 turns it back.
void rotate_head(const ModelConfig& config, const float* cos_sin, int direction, float* head);

RouterRule router_rule(const ModelConfig& config);

// How each half of a block begins: norm_TD = RMSNorm(x), and x_out = x, to which the half then adds.
void begin_half(const PassContext& pass, const float* x, const std::vector<float>& weight_D, FloatBuffer& norm_TD,
                FloatBuffer& norm_scale_T, float* x_out);

// y = RMSNorm(x) row by row, [T, n] with strides; scale_T keeps 1 / rms.
void norm_rows(const Compute& compute, int rows, int n, const float* x, std::ptrdiff_t x_stride, const float* w,
               float eps, float* y, std::ptrdiff_t y_stride, float* scale_T);

// Which order a segment's attention takes: a function of its own shape and nothing else.
enum class AttentionOrder { expanded, absorbed };
AttentionOrder choose_order(const ModelConfig& config, int rows, int first_position);

}  // namespace hadal
