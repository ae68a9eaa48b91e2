#include "model/attention_tiles.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace hadal {

JoinedRows::JoinedRows(std::span<const Segment> segments) {
  for (const Segment& s : segments) {
    first_.push_back(s.first_position > 0 ? rows_ : -1);
    if (s.first_position > 0) rows_ += s.first_position + s.rows;
  }
}

void JoinedRows::copy(const Compute& compute, std::span<const Segment> segments, const float* from,
                      std::ptrdiff_t stride, int width, float* to) const {
  if (rows_ == 0) return;
  compute.pool->parallel_for(static_cast<int>(segments.size()), [&](int i, int) {
    const Segment& s = segments[static_cast<std::size_t>(i)];
    if (s.first_position == 0) return;
    float* next = to + static_cast<std::ptrdiff_t>(first(static_cast<std::size_t>(i))) * width;
    for (const auto& [first_row, rows] : {std::pair{s.prefix_row, s.first_position}, std::pair{s.first_row, s.rows}})
      for (int r = 0; r < rows; ++r, next += width) std::memcpy(next, from + (first_row + r) * stride, size(width, 4));
  });
}

HeadShape head_shape(const ModelConfig& c) {
  if (c.attention_kind == AttentionKind::mla)
    return {c.num_attention_heads, c.qk_nope_head_dim, c.qk_rope_head_dim, c.v_head_dim};
  return {c.num_attention_heads, c.head_dim, 0, c.head_dim};
}

void add_tiles(const PassContext& pass, const Segment& s, const ExpandedKeys& keys, AttentionActivations& a) {
  const HeadShape shape = head_shape(pass.config);
  const int heads = shape.heads, key = shape.nope + shape.rope;
  const std::ptrdiff_t q_stride = static_cast<std::ptrdiff_t>(heads) * key,
                       out_stride = static_cast<std::ptrdiff_t>(heads) * shape.value;
  const int queries = pass.store ? 256 : s.rows;
  for (int h = 0; h < heads; ++h)
    for (int row = 0; row < s.rows; row += queries) {
      const int n = std::min(queries, s.rows - row);
      const std::ptrdiff_t t = s.first_row + row, head = h / keys.share * keys.head_stride;
      AttentionTile tile{};
      tile.q = a.q_THA.data() + t * q_stride + h * key;
      tile.q_stride = q_stride;
      tile.k_nope = keys.k_nope + head;
      tile.k_nope_stride = keys.stride;
      tile.k_pe = keys.k_pe;
      tile.k_pe_stride = keys.pe_stride;
      tile.v = keys.v + head;
      tile.v_stride = keys.stride;
      tile.out = a.out_THV.data() + t * out_stride + h * shape.value;
      tile.out_stride = out_stride;
      tile.lse = a.lse_HT.data() + static_cast<std::ptrdiff_t>(h) * pass.rows + t;
      tile.rows = n;
      tile.positions = s.first_position + row + n;
      tile.nope = shape.nope;
      tile.rope = shape.rope;
      tile.value = shape.value;
      tile.scale = pass.softmax_scale;
      a.tiles.push_back(tile);
    }
}

}  // namespace hadal
