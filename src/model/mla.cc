// Multi-head latent attention (DeepSeek-V2, eq. 9 to 19; MODELS.md 2). A token is cached as its normalised latent and
// one rotated key; keys and values of the heads are either expanded from the latents (prefill, training) or never
// built: the query is taken to the latents instead (absorbed; decode).
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"
#include "kernels/kernel_table.h"
#include "kernels/rope.h"
#include "model/attention_tiles.h"
#include "model/cache_rows.h"

namespace hadal {
namespace {

// Queries, latents and the shared rotated key of every row.
void project(const PassContext& pass, const AttentionWeights& w, AttentionActivations& a) {
  const ModelConfig& c = pass.config;
  const int rows = pass.rows, d = c.hidden_size, key = c.qk_head_dim(), q_width = c.num_attention_heads * key,
            wide = c.latent_row_width();
  const float eps = static_cast<float>(c.rms_norm_eps);
  const float* norm = a.norm_TD.data();
  float* q = a.q_THA.ensure(size(rows, q_width));
  float* kv_a = a.kv_a_TW.ensure(size(rows, wide));
  const MatmulJob to_kv{.weights = &w.kv_a_proj, .x = norm, .x_stride = d, .y = kv_a, .y_stride = wide, .rows = rows};
  if (c.q_lora_rank > 0) {
    const int rank = c.q_lora_rank;
    float* q_a = a.q_a_TQ.ensure(size(rows, rank));
    const MatmulJob first[] = {
        to_kv, {.weights = &w.q_a_proj, .x = norm, .x_stride = d, .y = q_a, .y_stride = rank, .rows = rows}};
    matmul(pass.compute, first);
    float* q_norm = a.q_a_norm_TQ.ensure(size(rows, rank));
    norm_rows(pass.compute, rows, rank, q_a, rank, w.q_a_layernorm.data(), eps, q_norm, rank,
              a.q_a_scale_T.ensure(size(rows, 1)));
    matmul(pass.compute,
           {.weights = &w.q_b_proj, .x = q_norm, .x_stride = rank, .y = q, .y_stride = q_width, .rows = rows});
  } else {
    const MatmulJob both[] = {
        to_kv, {.weights = &w.q_proj, .x = norm, .x_stride = d, .y = q, .y_stride = q_width, .rows = rows}};
    matmul(pass.compute, both);
  }
  float* latent = a.latent_TC.ensure(size(rows, c.kv_lora_rank));
  float* latent_scale = a.latent_scale_T.ensure(size(rows, 1));
  for_rows(pass.compute, rows, [&](int t) {
    const float* cos_sin = pass.rope_TR + static_cast<std::ptrdiff_t>(t) * c.qk_rope_head_dim;
    float* row = kv_a + static_cast<std::ptrdiff_t>(t) * wide;
    latent_scale[t] = pass.compute.kernels->rms_norm(row, w.kv_a_layernorm.data(), c.kv_lora_rank, eps,
                                                     latent + static_cast<std::ptrdiff_t>(t) * c.kv_lora_rank);
    rope_rotate(cos_sin, c.qk_rope_head_dim / 2, 1, row + c.kv_lora_rank);
    for (int h = 0; h < c.num_attention_heads; ++h)
      rope_rotate(cos_sin, c.qk_rope_head_dim / 2, 1,
                  q + static_cast<std::ptrdiff_t>(t) * q_width + h * key + c.qk_nope_head_dim);
  });
}

void write_latents(const PassContext& pass, int layer, AttentionActivations& a) {
  const ModelConfig& c = pass.config;
  for_new_rows(pass, layer, [&](int t, std::byte* row) {
    row = keep_values(pass.compute, a.latent_TC.data() + static_cast<std::ptrdiff_t>(t) * c.kv_lora_rank,
                      c.kv_lora_rank, row);
    keep_values(pass.compute, a.kv_a_TW.data() + static_cast<std::ptrdiff_t>(t) * c.latent_row_width() + c.kv_lora_rank,
                c.qk_rope_head_dim, row);
  });
}

// All positions of a cached sequence back as floats.
void read_latents(const PassContext& pass, int layer, const Segment& s, float* latent_SC, float* pe_SR) {
  const ModelConfig& c = pass.config;
  for_cached_rows(pass, layer, s, [&](int p, const std::byte* row) {
    row = take_values(pass.compute, row, c.kv_lora_rank, latent_SC + static_cast<std::ptrdiff_t>(p) * c.kv_lora_rank);
    take_values(pass.compute, row, c.qk_rope_head_dim, pe_SR + static_cast<std::ptrdiff_t>(p) * c.qk_rope_head_dim);
  });
}

// What kv_b_proj makes of latents, for all heads: [positions, heads, key without position | value].
ExpandedKeys keys_of(const ModelConfig& c, const float* kv, const float* pe, std::ptrdiff_t pe_stride) {
  const int pair = c.qk_nope_head_dim + c.v_head_dim;
  return {.k_nope = kv,
          .v = kv + c.qk_nope_head_dim,
          .stride = static_cast<std::ptrdiff_t>(c.num_attention_heads) * pair,
          .head_stride = pair,
          .k_pe = pe,
          .pe_stride = pe_stride,
          .share = 1};
}

// Training: the whole batch is expanded at once; what goes on from other rows meets them in one piece with its own.
void attend_training(const PassContext& pass, const AttentionWeights& w, AttentionActivations& a) {
  const ModelConfig& c = pass.config;
  const int pair = c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim), rope = c.qk_rope_head_dim;
  float* kv = a.kv_THB.ensure(size(pass.rows, pair));
  matmul(pass.compute, {.weights = &w.kv_b_proj,
                        .x = a.latent_TC.data(),
                        .x_stride = c.kv_lora_rank,
                        .y = kv,
                        .y_stride = pair,
                        .rows = pass.rows});
  const float* pe = a.kv_a_TW.data() + c.kv_lora_rank;
  const int wide = c.latent_row_width();
  const JoinedRows joined(pass.segments);
  float* joined_kv = a.prefix_kv_SHB.ensure(size(joined.rows(), pair));
  float* joined_pe = a.prefix_pe_SR.ensure(size(joined.rows(), rope));
  joined.copy(pass.compute, pass.segments, kv, pair, pair, joined_kv);
  joined.copy(pass.compute, pass.segments, pe, wide, rope, joined_pe);
  a.tiles.clear();
  for (std::size_t i = 0; i < pass.segments.size(); ++i) {
    const Segment& s = pass.segments[i];
    const std::ptrdiff_t own = s.first_row, first = joined.first(i);
    add_tiles(pass, s,
              first < 0 ? keys_of(c, kv + own * pair, pe + own * wide, wide)
                        : keys_of(c, joined_kv + first * pair, joined_pe + first * rope, rope),
              a);
  }
  attention(pass.compute, a.tiles);
}

// Segments that start at position 0 share one expansion, of the batch's own latents.
void attend_expanded(const PassContext& pass, int layer, const AttentionWeights& w, std::span<const Segment> segments,
                     AttentionActivations& a) {
  const ModelConfig& c = pass.config;
  const int pair = c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim);
  a.tiles.clear();
  a.jobs.clear();
  float* kv = a.kv_THB.ensure(size(pass.rows, pair));
  for (const Segment& s : segments) {
    if (s.first_position > 0) continue;
    const float* latent = a.latent_TC.data() + static_cast<std::ptrdiff_t>(s.first_row) * c.kv_lora_rank;
    a.jobs.push_back({.weights = &w.kv_b_proj,
                      .x = latent,
                      .x_stride = c.kv_lora_rank,
                      .y = kv + static_cast<std::ptrdiff_t>(s.first_row) * pair,
                      .y_stride = pair,
                      .rows = s.rows});
    const std::ptrdiff_t t = s.first_row;
    add_tiles(
        pass, s,
        keys_of(c, kv + t * pair, a.kv_a_TW.data() + t * c.latent_row_width() + c.kv_lora_rank, c.latent_row_width()),
        a);
  }
  if (a.jobs.size() == pass.segments.size()) {  // the whole batch: one product instead of many
    a.jobs.assign(1, {.weights = &w.kv_b_proj,
                      .x = a.latent_TC.data(),
                      .x_stride = c.kv_lora_rank,
                      .y = kv,
                      .y_stride = pair,
                      .rows = pass.rows});
  }
  if (!a.jobs.empty()) {
    matmul(pass.compute, a.jobs);
    attention(pass.compute, a.tiles);
  }
  for (const Segment& s : segments) {
    if (s.first_position == 0) continue;
    const int positions = s.first_position + s.rows;
    float* latent = a.prefix_latent_SC.ensure(size(positions, c.kv_lora_rank));
    float* pe = a.prefix_pe_SR.ensure(size(positions, c.qk_rope_head_dim));
    float* expanded = a.prefix_kv_SHB.ensure(size(positions, pair));
    read_latents(pass, layer, s, latent, pe);
    matmul(pass.compute, {.weights = &w.kv_b_proj,
                          .x = latent,
                          .x_stride = c.kv_lora_rank,
                          .y = expanded,
                          .y_stride = pair,
                          .rows = positions});
    a.tiles.clear();
    add_tiles(pass, s, keys_of(c, expanded, pe, c.qk_rope_head_dim), a);
    attention(pass.compute, a.tiles);
  }
}

// Two parts a thread: whole groups of heads where there are enough, since they share each latent that is loaded and
// each weight is read for all rows at once; else fewer rows; else fewer heads.
void add_absorbed_parts(int threads, int first_row, int rows, int heads, std::vector<AbsorbedPart>& parts) {
  constexpr int kHeads = 8;
  const std::int64_t row_groups = static_cast<std::int64_t>(rows) * ((heads + kHeads - 1) / kHeads);
  const int row_step = static_cast<int>(std::clamp<std::int64_t>(row_groups / (2 * threads), 1, rows));
  const int head_step = row_groups >= threads ? kHeads : std::clamp(heads * rows / threads, 1, kHeads);
  for (int row = 0; row < rows; row += row_step)
    for (int head = 0; head < heads; head += head_step)
      parts.push_back({first_row + row, std::min(row_step, rows - row), head, std::min(head_step, heads - head)});
}

// The query goes to the latent space, meets the latents there, and what it brings back becomes values. No head and no
// row needs another one.
void attend_absorbed_part(const PassContext& pass, const AttentionWeights& w, const AbsorbedPart& part,
                          AttentionActivations& a) {
  const ModelConfig& c = pass.config;
  const int heads = c.num_attention_heads, key = c.qk_head_dim(), wide = c.latent_row_width();
  const std::ptrdiff_t q_stride = static_cast<std::ptrdiff_t>(heads) * key,
                       wide_stride = static_cast<std::ptrdiff_t>(heads) * wide,
                       latent_stride = static_cast<std::ptrdiff_t>(heads) * c.kv_lora_rank,
                       out_stride = static_cast<std::ptrdiff_t>(heads) * c.v_head_dim, first = part.first_row;
  const float* q = a.q_THA.data() + first * q_stride;
  float* query = a.absorbed_q_THW.data() + first * wide_stride;
  float* result = a.absorbed_out_THC.data() + first * latent_stride;
  for (int h = part.first_head; h < part.first_head + part.heads; ++h) {
    matmul_here(pass.compute, {.weights = &w.absorbed[static_cast<std::size_t>(h)].to_latent,
                               .x = q + h * key,
                               .x_stride = q_stride,
                               .y = query + h * wide,
                               .y_stride = wide_stride,
                               .rows = part.rows});
    for (int r = 0; r < part.rows; ++r)
      std::memcpy(query + r * wide_stride + h * wide + c.kv_lora_rank, q + r * q_stride + h * key + c.qk_nope_head_dim,
                  size(c.qk_rope_head_dim, 4));
  }
  for (int r = 0; r < part.rows; ++r) {
    const CachedPositions& cached = a.cached_T[static_cast<std::size_t>(part.first_row + r)];
    absorbed_attention_here(pass.compute, {.q = query + r * wide_stride + part.first_head * wide,
                                           .q_stride = wide,
                                           .pages = cached.pages,
                                           .row_bytes = pass.store->row_bytes,
                                           .out = result + r * latent_stride + part.first_head * c.kv_lora_rank,
                                           .out_stride = c.kv_lora_rank,
                                           .heads = part.heads,
                                           .positions = cached.positions,
                                           .latent = c.kv_lora_rank,
                                           .rope = c.qk_rope_head_dim,
                                           .scale = pass.softmax_scale,
                                           .scratch = nullptr});
  }
  for (int h = part.first_head; h < part.first_head + part.heads; ++h)
    matmul_here(pass.compute, {.weights = &w.absorbed[static_cast<std::size_t>(h)].to_value,
                               .x = result + h * c.kv_lora_rank,
                               .x_stride = latent_stride,
                               .y = a.out_THV.data() + first * out_stride + h * c.v_head_dim,
                               .y_stride = out_stride,
                               .rows = part.rows});
}

// Neighbouring segments, hence neighbouring rows.
void attend_absorbed(const PassContext& pass, int layer, const AttentionWeights& w, std::span<const Segment> segments,
                     AttentionActivations& a) {
  const ModelConfig& c = pass.config;
  const int heads = c.num_attention_heads;
  HADAL_CHECK(static_cast<int>(w.absorbed.size()) == heads);
  a.absorbed_q_THW.ensure(size(pass.rows, heads * c.latent_row_width()));
  a.absorbed_out_THC.ensure(size(pass.rows, heads * c.kv_lora_rank));
  std::size_t pages = 0;
  for (const Segment& s : segments) pages += static_cast<std::size_t>(pages_of(s));
  a.page_rows.resize(pages);
  a.cached_T.resize(static_cast<std::size_t>(pass.rows));
  const std::byte** next = a.page_rows.data();
  int rows = 0;
  for (const Segment& s : segments) {
    for (int r = 0; r < s.rows; ++r)
      a.cached_T[static_cast<std::size_t>(s.first_row + r)] = {next, s.first_position + r + 1};
    for (int p = 0; p < pages_of(s); ++p) *next++ = pass.store->row(layer, s.pages[static_cast<std::size_t>(p)], 0);
    rows += s.rows;
  }
  a.absorbed_parts.clear();
  add_absorbed_parts(pass.compute.pool->threads(), segments.front().first_row, rows, heads, a.absorbed_parts);
  pass.compute.pool->parallel_for(static_cast<int>(a.absorbed_parts.size()), [&](int i, int) {
    attend_absorbed_part(pass, w, a.absorbed_parts[static_cast<std::size_t>(i)], a);
  });
}

}  // namespace

// By the multiplications of each order for one head: both run at about the same rate (measured behind 1024 tokens of
// the 20 M model: they meet at 48 rows, where this says 60).
AttentionOrder choose_order(const ModelConfig& c, int rows, int first_position) {
  if (first_position == 0 && rows > 1) return AttentionOrder::expanded;
  const double r = rows, s = first_position + rows, nope = c.qk_nope_head_dim, rope = c.qk_rope_head_dim,
               value = c.v_head_dim, latent = c.kv_lora_rank;
  const double absorbed = r * s * (2 * latent + rope) + r * latent * (nope + value);
  const double expanded = r * s * (nope + rope + value) + s * latent * (nope + value);
  return absorbed <= expanded ? AttentionOrder::absorbed : AttentionOrder::expanded;
}

void mla_forward(const PassContext& pass, int layer, const AttentionWeights& w, const float* x_in, float* x_mid,
                 AttentionActivations& a) {
  const ModelConfig& c = pass.config;
  const int rows = pass.rows, d = c.hidden_size, out_width = c.num_attention_heads * c.v_head_dim;
  begin_half(pass, x_in, w.input_layernorm, a.norm_TD, a.norm_scale_T, x_mid);
  project(pass, w, a);
  a.out_THV.ensure(size(rows, out_width));
  a.lse_HT.ensure(size(rows, c.num_attention_heads));
  if (!pass.store) {
    attend_training(pass, w, a);
  } else {
    write_latents(pass, layer, a);
    // Runs of neighbouring segments that take the same order go together.
    for (std::size_t first = 0; first < pass.segments.size();) {
      const AttentionOrder order = choose_order(c, pass.segments[first].rows, pass.segments[first].first_position);
      std::size_t last = first + 1;
      while (last < pass.segments.size() &&
             choose_order(c, pass.segments[last].rows, pass.segments[last].first_position) == order)
        ++last;
      const auto run = pass.segments.subspan(first, last - first);
      if (order == AttentionOrder::absorbed)
        attend_absorbed(pass, layer, w, run, a);
      else
        attend_expanded(pass, layer, w, run, a);
      first = last;
    }
  }
  matmul(pass.compute, {.weights = &w.o_proj,
                        .x = a.out_THV.data(),
                        .x_stride = out_width,
                        .y = x_mid,
                        .y_stride = d,
                        .rows = rows,
                        .accumulate = true});
}

}  // namespace hadal
