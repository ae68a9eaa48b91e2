// The leaf kernels of one instruction set: plain functions on raw tiles, without
// threads or allocation. simd/*.inl is compiled once per instruction set and
// fills one table each; kernels/*.cc schedules the calls.
//
// Operand layouts (depth = 1 for float, 2 for bf16: neighbours along the summed dimension lie together):
//   panel  [ceil(k / depth)][32][depth]   32 outputs side by side, zero-padded; the right operand of a product
//   rows   [m][ceil(k / depth) * depth]   a left operand as activations lie
//   wide   [ceil(k / depth)][m][depth]    a left operand whose summed dimension is outermost (gradients)
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/compute.h"

namespace hadal {

inline constexpr int kPanelWidth = 32;  // two 512-bit registers of outputs: with 12 rows, 24 of 32 registers accumulate

// One sequence and one head of expanded attention. Queries are the last `rows` of `positions`.
struct AttentionTile {
  const float* q;
  std::ptrdiff_t q_stride;  // [rows, N + R]
  const float* k_nope;
  std::ptrdiff_t k_nope_stride;  // [positions, N]
  const float* k_pe;
  std::ptrdiff_t k_pe_stride;  // [positions, R] shared by all heads
  const float* v;
  std::ptrdiff_t v_stride;  // [positions, V]
  float* out;
  std::ptrdiff_t out_stride;  // [rows, V]
  float* lse;                 // [rows] log of the sum of exponentials; null: not wanted
  int rows, positions, nope, rope, value;
  float scale;
  std::byte* scratch;  // attention_scratch_bytes()
};

struct AttentionTileBackward {
  AttentionTile forward;  // out and lse as the forward pass left them
  const float* d_out;
  std::ptrdiff_t d_out_stride;  // [rows, V]
  float* d_q;
  std::ptrdiff_t d_q_stride;  // [rows, N + R] written
  float* d_k_nope;
  std::ptrdiff_t d_k_nope_stride;  // [positions, N] written
  float* d_k_pe;
  std::ptrdiff_t d_k_pe_stride;  // [positions, R] written (one head's share)
  float* d_v;
  std::ptrdiff_t d_v_stride;  // [positions, V] written
};

// Some heads of one query row against the paged latents (absorbed order). See attention.inl.
struct AbsorbedTile {
  const float* q;
  std::ptrdiff_t q_stride;        // [heads, C + R]: the absorbed query, then the rotated one
  const std::byte* const* pages;  // [ceil(positions / 64)] first row of each page
  std::size_t row_bytes;
  float* out;
  std::ptrdiff_t out_stride;  // [heads, C]
  int heads, positions, latent, rope;
  float scale;
  std::byte* scratch;  // absorbed_scratch_bytes()
};

// A row of x in eight bits, for products with stored blocks, padded with zeros to a multiple of 256, in the order
// that the kernels take each 256 in (simd/codes.h).
struct CodedRow {
  std::int8_t* codes;  // [k]
  float* scales;       // [k / 16]; each 32 codes share one
  float* sums;         // [k / 16] minus the sum of each sixteen codes, times their scale
};

// Weights in the blocks of one type, row by row as their file stores them (base/block_formats.h).
struct StoredKernels {
  void (*values)(const std::byte* row, int k, float* out);  // bit for bit what dequantise() gives
  // n <= 32 rows to one panel.
  void (*panel_f32)(const std::byte* rows, std::size_t row_bytes, int n, int k, float* panel);
  void (*panel_bf16)(const std::byte* rows, std::size_t row_bytes, int n, int k, std::uint16_t* panel);
  // y[r * y_stride + j] (+)= row j of n · x[r] of m: each row of W is unpacked once for eight of x. For few rows of x.
  void (*dot)(const std::byte* rows, std::size_t row_bytes, int n, int k, const CodedRow* x, int m, float* y,
              std::ptrdiff_t y_stride, bool accumulate);
  // The same, faster, for rows of x in another order, that of code_units(). Null: none for this type.
  void (*dot_units)(const std::byte* rows, std::size_t row_bytes, int n, int k, const CodedRow* x, int m, float* y,
                    std::ptrdiff_t y_stride, bool accumulate);
  // As dot for tiles of sixteen rows side by side (base/interleaved_rows.h), n a multiple of 16, any m. Null: none
  // for this type.
  void (*dot_interleaved)(const std::byte* tiles, std::size_t row_bytes, int n, int k, const CodedRow* x, int m,
                          float* y, std::ptrdiff_t y_stride, bool accumulate);
  // Sixteen rows to a tile: what interleave_rows() gives. Null as above.
  void (*interleave)(const std::byte* rows, std::size_t row_bytes, std::byte* tile);
};

// n values, whole blocks, to the blocks of one type (kernels/quantiser.h). w: the weight of each value's error; null:
// all alike.
using Quantise = void (*)(const float* x, const float* w, std::size_t n, std::byte* out);

struct KernelTable {
  Isa isa;

  // c [m, n] (+)= a · b; a is rows or wide, b panels one after another (each ceil(k/depth) * 32 * depth elements).
  // Every element sums its k products in ascending order, whatever m and n are.
  void (*gemm_f32)(int m, int n, int k, const float* a, std::ptrdiff_t a_stride, const float* b, float* c,
                   std::ptrdiff_t c_stride, bool accumulate);
  void (*gemm_wide_f32)(int m, int n, int k, const float* a, std::ptrdiff_t a_stride, const float* b, float* c,
                        std::ptrdiff_t c_stride, bool accumulate);
  // Fast arithmetic, where dots of bf16 pairs are an instruction. Null elsewhere: there bf16 is how weights are stored
  // and products are of floats, gemm_f32_bf16 with panels of bf16 (a's rows are read to an even k), and gemm_wide_f32.
  void (*gemm_bf16)(int m, int n, int k, const std::uint16_t* a, std::ptrdiff_t a_stride, const std::uint16_t* b,
                    float* c, std::ptrdiff_t c_stride, bool accumulate);
  void (*gemm_f32_bf16)(int m, int n, int k, const float* a, std::ptrdiff_t a_stride, const std::uint16_t* b, float* c,
                        std::ptrdiff_t c_stride, bool accumulate);
  void (*gemm_wide_bf16)(int m, int n, int k, const std::uint16_t* a, std::ptrdiff_t a_stride, const std::uint16_t* b,
                         float* c, std::ptrdiff_t c_stride, bool accumulate);

  // Row of floats to bf16; pads with zeros to `padded`.
  void (*narrow_row)(const float* from, int n, int padded, std::uint16_t* to);
  void (*narrow_scaled_row)(const float* from, const float* factors, int n, int padded, std::uint16_t* to);
  void (*widen_row)(const std::uint16_t* from, int n, float* to);
  // Rows of W become outputs: from [n <= 32, k] (row stride) to one panel.
  void (*pack_rows_f32)(const float* from, std::ptrdiff_t stride, int n, int k, float* panel);
  void (*pack_rows_bf16)(const float* from, std::ptrdiff_t stride, int n, int k, std::uint16_t* panel);
  // Columns become outputs: from k rows of n <= width floats (row i at from + rows[i] * stride, or i * stride where
  // rows is null) to [ceil(k / depth)][width][depth].
  void (*interleave_f32)(const float* from, std::ptrdiff_t stride, const std::int32_t* rows, int k, int n, int width,
                         float* to);
  void (*interleave_bf16)(const float* from, std::ptrdiff_t stride, const std::int32_t* rows, int k, int n, int width,
                          std::uint16_t* to);

  // Null: a type without kernels of its own.
  const StoredKernels* (*stored)(DType dtype);
  Quantise (*quantise)(DType dtype);  // null as well
  void (*code_row)(const float* x, int k, const CodedRow& to);
  void (*code_units)(const float* x, int k, const CodedRow& to);  // for dot_units

  void (*attention_f32)(const AttentionTile&);
  void (*attention_fast)(const AttentionTile&);  // of bf16 pairs where their dots are an instruction, else of floats
  void (*attention_backward_f32)(const AttentionTileBackward&);
  void (*attention_backward_fast)(const AttentionTileBackward&);
  void (*absorbed_f32)(const AbsorbedTile&);   // latents stored as float
  void (*absorbed_bf16)(const AbsorbedTile&);  // latents stored as bf16

  // y = x * rsqrt(mean(x^2) + eps) * w; returns the rsqrt.
  float (*rms_norm)(const float* x, const float* w, int n, float eps, float* y);
  // dx (+)= backward of rms_norm; dw += its share.
  void (*rms_norm_backward)(const float* x, const float* w, const float* dy, float inverse_rms, int n, float* dx,
                            bool accumulate, float* dw);
  // out = silu(gate) * up * weight
  void (*swiglu)(const float* gate, const float* up, float weight, int n, float* out);
  // From d_out (the gradient of out with weight 1 already folded in by the caller as `weight`): d_gate, d_up; returns
  // sum(d_out * silu(gate) * up), the gradient to the weight.
  float (*swiglu_backward)(const float* gate, const float* up, const float* d_out, float weight, int n, float* d_gate,
                           float* d_up);
  void (*add_scaled)(const float* x, float factor, int n, float* y);  // y += factor * x
  void (*scale)(float* x, float factor, int n);                       // x *= factor
  float (*dot)(const float* x, const float* y, int n);
  void (*sigmoid)(const float* x, int n, float* y);
  // Replaces logits by probabilities; returns log(sum(exp(logits))).
  float (*softmax)(float* logits, int n);

  // For machine_limits.h: register-only multiply-adds, returning how many operations were done; and a read of `bytes`
  // (a multiple of 512).
  double (*busy_f32)(int rounds);
  double (*busy_bf16)(int rounds);
  float (*read_all)(const std::byte* from, std::size_t bytes);
};

std::size_t attention_scratch_bytes(int positions, int nope, int rope, int value);  // forward
std::size_t attention_backward_scratch_bytes(int positions, int nope, int rope, int value);
std::size_t absorbed_scratch_bytes(int latent, int rope);

extern const KernelTable kPortableKernels, kAvx2Kernels, kAvx512Kernels, kAvx512Bf16Kernels;

}  // namespace hadal
