// What both kinds of attention share in expanded order: rows of the batch joined in one piece, and the tiles over them.
//
// Threads: as PassContext.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/block.h"

namespace hadal {

// Training: segments that go on from other rows of the batch (Segment::prefix_row) meet their keys and values in one
// piece, which is copied together. The pieces lie one after another in the order of the segments.
class JoinedRows {
 public:
  JoinedRows() = default;  // none goes on
  explicit JoinedRows(std::span<const Segment> segments);
  int rows() const { return rows_; }
  // Of segment i; -1: it starts at position 0, and its rows are in one piece as they lie.
  int first(std::size_t segment) const { return rows_ == 0 ? -1 : first_[segment]; }

  // to [rows(), width] from rows of [T, width] that lie `stride` apart.
  void copy(const Compute& compute, std::span<const Segment> segments, const float* from, std::ptrdiff_t stride,
            int width, float* to) const;

 private:
  std::vector<int> first_;
  int rows_ = 0;
};

// Keys and values of a segment's positions. Query heads [0, share) take the first ones, the next `share` those that lie
// head_stride further on.
struct ExpandedKeys {
  const float *k_nope, *v;
  std::ptrdiff_t stride, head_stride;
  const float* k_pe;  // [positions, rope], of all heads
  std::ptrdiff_t pe_stride;
  int share;
};

struct HeadShape {
  int heads, nope, rope, value;
};
HeadShape head_shape(const ModelConfig& config);

// A tile a head; long runs of queries are cut, so that few heads still give work to every thread. Training keeps them
// whole, since its backward pass takes the same tiles in the same order.
void add_tiles(const PassContext& pass, const Segment& segment, const ExpandedKeys& keys, AttentionActivations& a);

}  // namespace hadal
