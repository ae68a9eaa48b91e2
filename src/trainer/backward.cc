// What both kinds of attention take in reverse: the softmax core, whose equations stand in kernels/simd/attention.inl,
// and sums over rows.
#include "trainer/backward.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/kernel_table.h"
#include "model/attention_tiles.h"

namespace hadal {
namespace {

constexpr int kRows = 64;

// Gradients of joined rows [S, H, width] go back to where the rows came from, [T, H, width]: a segment's own are moved,
// those before it added. A thread has a head to itself, so that sums keep the order of the segments.
void part_joined(const PassContext& pass, const JoinedRows& joined, int heads, int width, const float* d_joined,
                 float* d_rows) {
  if (joined.rows() == 0 || width == 0) return;
  pass.compute.pool->parallel_for(heads, [&](int h, int) {
    const auto at = [&](auto* rows, std::ptrdiff_t row) { return rows + (row * heads + h) * width; };
    for (std::size_t i = 0; i < pass.segments.size(); ++i) {
      const Segment& s = pass.segments[i];
      const int first = joined.first(i);
      if (first < 0) continue;
      for (int p = 0; p < s.first_position; ++p)
        pass.compute.kernels->add_scaled(at(d_joined, first + p), 1.0f, width, at(d_rows, s.prefix_row + p));
      for (int r = 0; r < s.rows; ++r)
        std::memcpy(at(d_rows, s.first_row + r), at(d_joined, first + s.first_position + r), size(width, 4));
    }
  });
}

}  // namespace

WeightGradientJob matrix_gradient(const PassContext& pass, const float* dy, int outputs, const float* x, int inputs,
                                  float* dw) {
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

MatmulJob through_matrix(const PassContext& pass, const PackedMatrix& transposed, const float* dy, float* dx,
                         bool accumulate) {
  return {.weights = &transposed,
          .x = dy,
          .x_stride = transposed.inputs(),
          .y = dx,
          .y_stride = transposed.outputs(),
          .rows = pass.rows,
          .accumulate = accumulate};
}

void attention_core_backward(const PassContext& pass, const AttentionActivations& a, BackwardScratch& s) {
  const HeadShape shape = head_shape(pass.config);
  const int heads = shape.heads, key = shape.nope + shape.rope, pair = shape.nope + shape.value;
  const std::ptrdiff_t q_stride = static_cast<std::ptrdiff_t>(heads) * key,
                       pair_stride = static_cast<std::ptrdiff_t>(heads) * pair,
                       pe_stride = static_cast<std::ptrdiff_t>(heads) * shape.rope,
                       out_stride = static_cast<std::ptrdiff_t>(heads) * shape.value;
  const JoinedRows joined(pass.segments);
  float* d_q = s.d_q_THA.ensure(size(pass.rows, heads * key));
  float* d_kv = s.d_kv_THB.ensure(size(pass.rows, heads * pair));
  float* d_pe = s.d_k_pe_THR.ensure(size(pass.rows, heads * shape.rope));
  float* d_joined_kv = s.d_joined_kv_SHB.ensure(size(joined.rows(), heads * pair));
  float* d_joined_pe = s.d_joined_pe_SHR.ensure(size(joined.rows(), heads * shape.rope));
  s.tiles.clear();
  HADAL_CHECK(a.tiles.size() == size(static_cast<std::int64_t>(pass.segments.size()), heads));
  for (std::size_t i = 0; i < a.tiles.size(); ++i) {  // the forward pass takes a segment's heads one after another
    const std::size_t segment = i / static_cast<std::size_t>(heads);
    const std::ptrdiff_t h = static_cast<std::ptrdiff_t>(i % static_cast<std::size_t>(heads)),
                         t = pass.segments[segment].first_row, first = joined.first(segment);
    const bool own = first < 0;
    AttentionTileBackward b{};
    b.forward = a.tiles[i];
    b.d_out_stride = out_stride;
    b.d_out = s.d_out_THV.data() + t * out_stride + h * shape.value;
    b.d_q_stride = q_stride;
    b.d_q = d_q + t * q_stride + h * key;
    b.d_k_nope_stride = b.d_v_stride = pair_stride;
    b.d_k_nope = (own ? d_kv + t * pair_stride : d_joined_kv + first * pair_stride) + h * pair;
    b.d_v = b.d_k_nope + shape.nope;
    b.d_k_pe_stride = pe_stride;
    b.d_k_pe = b.d_k_nope;  // where it is of width zero
    if (shape.rope > 0) b.d_k_pe = (own ? d_pe + t * pe_stride : d_joined_pe + first * pe_stride) + h * shape.rope;
    s.tiles.push_back(b);
  }
  attention_backward(pass.compute, s.tiles);
  part_joined(pass, joined, heads, pair, d_joined_kv, d_kv);
  part_joined(pass, joined, heads, shape.rope, d_joined_pe, d_pe);
}

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

void add_column_sums(const Compute& compute, int rows, int n, const float* x, float* sums) {
  constexpr int kColumns = 64;  // threads share columns, so that each sum keeps its order
  compute.pool->parallel_for((n + kColumns - 1) / kColumns, [&](int block, int) {
    const int column = block * kColumns;
    for (int t = 0; t < rows; ++t)
      compute.kernels->add_scaled(x + static_cast<std::ptrdiff_t>(t) * n + column, 1.0f, std::min(kColumns, n - column),
                                  sums + column);
  });
}

}  // namespace hadal
