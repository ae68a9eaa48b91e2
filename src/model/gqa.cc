// Grouped-query attention of the dense families: H query heads share G key and value heads of width A (Ainslie et al.,
// GQA, 2023). The cache keeps of a token, for each group, its value and its rotated key.
//
// Decode uses the kernel of MLA's absorbed order: a row [value | key] is a latent that is its own key, when the query
// is [zeros | q]. Prefill and training use the expanded kernel.
#include <algorithm>
#include <cstring>

#include "kernels/kernel_table.h"
#include "kernels/rope.h"
#include "model/attention_tiles.h"
#include "model/cache_rows.h"

namespace hadal {
namespace {

void add_bias(const Compute& compute, const std::vector<float>& bias, float* row) {
  if (!bias.empty()) compute.kernels->add_scaled(bias.data(), 1.0f, static_cast<int>(bias.size()), row);
}

// Bias, norm and rotation of the heads of one row.
void finish_heads(const PassContext& pass, const std::vector<float>& bias, const std::vector<float>& norm, int heads,
                  const float* cos_sin, float* row) {
  const ModelConfig& c = pass.config;
  const int width = c.head_dim;
  add_bias(pass.compute, bias, row);
  for (int h = 0; h < heads; ++h) {
    float* head = row + h * width;
    if (!norm.empty())
      pass.compute.kernels->rms_norm(head, norm.data(), width, static_cast<float>(c.rms_norm_eps), head);
    rotate_head(c, cos_sin, 1, head);
  }
}

void project(const PassContext& pass, const AttentionWeights& w, AttentionActivations& a) {
  const ModelConfig& c = pass.config;
  const int rows = pass.rows, d = c.hidden_size, q_width = c.num_attention_heads * c.head_dim,
            kv_width = c.num_key_value_heads * c.head_dim;
  float* q = a.q_THA.ensure(size(rows, q_width));
  float* k = a.k_TGA.ensure(size(rows, kv_width));
  float* v = a.v_TGA.ensure(size(rows, kv_width));
  const auto job = [&](const PackedMatrix& weights, float* y, int width) {
    return MatmulJob{
        .weights = &weights, .x = a.norm_TD.data(), .x_stride = d, .y = y, .y_stride = width, .rows = rows};
  };
  const MatmulJob jobs[] = {job(w.q_proj, q, q_width), job(w.k_proj, k, kv_width), job(w.v_proj, v, kv_width)};
  matmul(pass.compute, jobs);
  for_rows(pass.compute, rows, [&](int t) {
    const float* cos_sin = pass.rope_TR + static_cast<std::ptrdiff_t>(t) * c.head_dim;
    finish_heads(pass, w.q_bias, w.q_norm, c.num_attention_heads, cos_sin,
                 q + static_cast<std::ptrdiff_t>(t) * q_width);
    finish_heads(pass, w.k_bias, w.k_norm, c.num_key_value_heads, cos_sin,
                 k + static_cast<std::ptrdiff_t>(t) * kv_width);
    add_bias(pass.compute, w.v_bias, v + static_cast<std::ptrdiff_t>(t) * kv_width);
  });
}

void write_rows(const PassContext& pass, int layer, AttentionActivations& a) {
  const ModelConfig& c = pass.config;
  const int width = c.head_dim, kv_width = c.num_key_value_heads * width;
  for_new_rows(pass, layer, [&](std::ptrdiff_t t, std::byte* row) {
    for (int g = 0; g < c.num_key_value_heads; ++g)
      for (float* values : {a.v_TGA.data() + t * kv_width + g * width, a.k_TGA.data() + t * kv_width + g * width})
        row = keep_values(pass.compute, values, width, row);
  });
}

// All positions of a cached sequence back as floats: [S, G, value | key].
void read_rows(const PassContext& pass, int layer, const Segment& s, float* rows) {
  const int width = pass.config.latent_row_width();
  for_cached_rows(pass, layer, s, [&](std::ptrdiff_t p, const std::byte* row) {
    take_values(pass.compute, row, width, rows + p * width);
  });
}

// Keys and values of all groups, from those of the first on.
ExpandedKeys grouped(const ModelConfig& c, const float* k, const float* v, std::ptrdiff_t stride,
                     std::ptrdiff_t group_stride) {
  return {.k_nope = k,
          .v = v,
          .stride = stride,
          .head_stride = group_stride,
          .k_pe = k,  // of width zero
          .pe_stride = stride,
          .share = c.num_attention_heads / c.num_key_value_heads};
}

constexpr int kFewRows = 8;  // fewer read the pages as often as there are rows, but never copy them

enum class Keys {
  of_batch,  // the segment starts at position 0
  copied,    // cached before; floats again
  in_pages   // cached, read as they lie
};
Keys keys_of(const Segment& s) {
  if (s.rows < kFewRows && (s.first_position > 0 || s.rows == 1)) return Keys::in_pages;
  return s.first_position == 0 ? Keys::of_batch : Keys::copied;
}

// All segments whose keys are the batch's own, at once. In training what goes on from other rows meets them in one
// piece with its own.
void attend_batch(const PassContext& pass, AttentionActivations& a) {
  const ModelConfig& c = pass.config;
  const int width = c.head_dim, kv_width = c.num_key_value_heads * width;
  const JoinedRows joined = pass.store ? JoinedRows() : JoinedRows(pass.segments);
  float* keys = a.prefix_kv_SHB.ensure(size(joined.rows(), 2 * kv_width));
  float* values = keys + static_cast<std::ptrdiff_t>(joined.rows()) * kv_width;
  joined.copy(pass.compute, pass.segments, a.k_TGA.data(), kv_width, kv_width, keys);
  joined.copy(pass.compute, pass.segments, a.v_TGA.data(), kv_width, kv_width, values);
  a.tiles.clear();
  for (std::size_t i = 0; i < pass.segments.size(); ++i) {
    const Segment& s = pass.segments[i];
    if (pass.store && keys_of(s) != Keys::of_batch) continue;
    const bool own = joined.first(i) < 0;
    const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(own ? s.first_row : joined.first(i)) * kv_width;
    add_tiles(
        pass, s,
        grouped(c, (own ? a.k_TGA.data() : keys) + first, (own ? a.v_TGA.data() : values) + first, kv_width, width), a);
  }
  if (!a.tiles.empty()) attention(pass.compute, a.tiles);
}

void attend_copied(const PassContext& pass, int layer, const Segment& s, AttentionActivations& a) {
  const int width = pass.config.head_dim, kv_width = pass.config.num_key_value_heads * width,
            positions = s.first_position + s.rows;
  float* rows = a.prefix_kv_SHB.ensure(size(positions, 2 * kv_width));
  read_rows(pass, layer, s, rows);
  a.tiles.clear();
  add_tiles(pass, s, grouped(pass.config, rows + width, rows, 2 * kv_width, 2 * width), a);
  attention(pass.compute, a.tiles);
}

// A row of queries at a time, group by group, on the pages as they lie; those of all such segments are one loop.
void attend_in_pages(const PassContext& pass, int layer, AttentionActivations& a) {
  const ModelConfig& c = pass.config;
  const int width = c.head_dim, groups = c.num_key_value_heads, share = c.num_attention_heads / groups,
            heads = c.num_attention_heads;
  const std::size_t group_bytes = size(2 * width, pass.compute.arithmetic == Arithmetic::exact ? 4 : 2);
  std::size_t pages = 0;
  for (const Segment& s : pass.segments)
    if (keys_of(s) == Keys::in_pages) pages += size(groups, pages_of(s));
  if (pages == 0) return;
  a.page_rows.resize(pages);
  a.absorbed_parts.clear();
  a.cached_T.clear();  // of each part
  const std::byte** next = a.page_rows.data();
  for (const Segment& s : pass.segments) {
    if (keys_of(s) != Keys::in_pages) continue;
    for (int g = 0; g < groups; ++g) {
      for (int r = 0; r < s.rows; ++r) {
        a.absorbed_parts.push_back({s.first_row + r, 1, g * share, share});
        a.cached_T.push_back({next, s.first_position + r + 1});
      }
      for (int p = 0; p < pages_of(s); ++p)
        *next++ =
            pass.store->row(layer, s.pages[static_cast<std::size_t>(p)], 0) + static_cast<std::size_t>(g) * group_bytes;
    }
  }
  float* query = a.absorbed_q_THW.ensure(size(pass.rows, 2 * heads * width));
  pass.compute.pool->parallel_for(static_cast<int>(a.absorbed_parts.size()), [&](int i, int) {
    const AbsorbedPart& part = a.absorbed_parts[static_cast<std::size_t>(i)];
    const CachedPositions& cached = a.cached_T[static_cast<std::size_t>(i)];
    const std::ptrdiff_t head = static_cast<std::ptrdiff_t>(part.first_row) * heads + part.first_head;
    float* q = query + head * 2 * width;
    for (int h = 0; h < share; ++h) {
      std::memset(q + h * 2 * width, 0, size(width, 4));
      std::memcpy(q + h * 2 * width + width, a.q_THA.data() + (head + h) * width, size(width, 4));
    }
    absorbed_attention_here(pass.compute, {.q = q,
                                           .q_stride = 2 * width,
                                           .pages = cached.pages,
                                           .row_bytes = pass.store->row_bytes,
                                           .out = a.out_THV.data() + head * width,
                                           .out_stride = width,
                                           .heads = share,
                                           .positions = cached.positions,
                                           .latent = width,
                                           .rope = width,
                                           .scale = pass.softmax_scale,
                                           .scratch = nullptr});
  });
}

}  // namespace

void rotate_head(const ModelConfig& c, const float* cos_sin, int direction, float* head) {
  if (c.rope_layout == RopeLayout::half_split)
    rope_rotate_halves(cos_sin, c.head_dim / 2, direction, head);
  else
    rope_rotate(cos_sin, c.head_dim / 2, direction, head);
}

void gqa_forward(const PassContext& pass, int layer, const AttentionWeights& w, const float* x_in, float* x_mid,
                 AttentionActivations& a) {
  const ModelConfig& c = pass.config;
  const int rows = pass.rows, width = c.num_attention_heads * c.head_dim;
  begin_half(pass, x_in, w.input_layernorm, a.norm_TD, a.norm_scale_T, x_mid);
  project(pass, w, a);
  a.out_THV.ensure(size(rows, width));
  a.lse_HT.ensure(size(rows, c.num_attention_heads));
  if (pass.store) write_rows(pass, layer, a);
  attend_batch(pass, a);
  if (pass.store) {
    attend_in_pages(pass, layer, a);
    for (const Segment& s : pass.segments)
      if (keys_of(s) == Keys::copied) attend_copied(pass, layer, s, a);
  }
  matmul(pass.compute, {.weights = &w.o_proj,
                        .x = a.out_THV.data(),
                        .x_stride = width,
                        .y = x_mid,
                        .y_stride = c.hidden_size,
                        .rows = rows,
                        .accumulate = true});
}

}  // namespace hadal
