// Attention of one head in expanded order, forward and backward, and of some
// heads in absorbed order. Included by simd/isa_*.cc after gemm.inl and rows.inl.
//
// Expanded: keys and values of one head are packed once into panels; query tiles
// then run the same product as every matmul: scores, softmax, values. A query's
// sums do not depend on the tile it shares (keys behind its own position add
// exact zeros), so the result does not depend on how a prompt is cut.
// Backward: P = exp(S - lse), dV = P' dO, dP = dO V', dS = P (dP - rowsum(dO O)) scale,
// dQ = dS K, dK = dS' Q (Dao et al., FlashAttention-2, algorithm 2).

namespace hadal::HADAL_SIMD_NAMESPACE {

inline constexpr int kForwardQueries = 24;   // two tiles of rows: scores stay in the first-level cache up to 300 keys
inline constexpr int kBackwardQueries = 48;  // the summed dimension of dK and dV: longer amortises their reload

HADAL_INLINE int round_up(int x, int to) { return (x + to - 1) / to * to; }

struct Scratch {
  std::byte* next;
  template <class T>
  T* take(std::ptrdiff_t count) {
    T* p = reinterpret_cast<T*>(next);
    next += (count * static_cast<std::ptrdiff_t>(sizeof(T)) + 63) / 64 * 64;
    return p;
  }
};

template <class E>
HADAL_INLINE void to_rows(const float* from, std::ptrdiff_t stride, int m, int n, E* to, int to_stride) {
  for (int i = 0; i < m; ++i) {
    if constexpr (Element<E>::kDepth == 1) std::memcpy(to + i * to_stride, from + i * stride, static_cast<std::size_t>(n) * 4);
    else narrow_row(from + i * stride, n, to_stride, to + i * to_stride);
  }
}

template <class E>
HADAL_INLINE void interleave(const float* from, std::ptrdiff_t stride, int k, int n, int width, E* to) {
  if constexpr (Element<E>::kDepth == 1) interleave_f32(from, stride, nullptr, k, n, width, to);
  else interleave_bf16(from, stride, nullptr, k, n, width, to);
}

// Columns of [k, n] as panels of 32 outputs.
template <class E>
HADAL_INLINE void column_panels(const float* from, std::ptrdiff_t stride, int k, int n, E* to) {
  const std::ptrdiff_t panel = static_cast<std::ptrdiff_t>(round_up(k, Element<E>::kDepth)) * 32;
  for (int column = 0; column < n; column += 32, to += panel)
    interleave<E>(from + column, stride, k, n - column < 32 ? n - column : 32, 32, to);
}

// c [m, n] (+)= a · b where b's panels hold `panel_k` >= k summed elements.
template <class E>
HADAL_INLINE void multiply(int m, int n, int k, int panel_k, const E* a, std::ptrdiff_t a_stride, const E* b, float* c, std::ptrdiff_t c_stride) {
  const std::ptrdiff_t panel = static_cast<std::ptrdiff_t>(round_up(panel_k, Element<E>::kDepth)) * 32;
  for (int column = 0; column < n; column += 32, b += panel)
    gemm<E, false>(m, n - column < 32 ? n - column : 32, k, a, a_stride, b, c + column, c_stride, false);
}

// Keys of one head, nope then rope, as one float matrix [positions, D].
HADAL_INLINE void gather_keys(const AttentionTile& t, float* keys) {
  const int dim = t.nope + t.rope;
  for (int s = 0; s < t.positions; ++s) {
    std::memcpy(keys + static_cast<std::ptrdiff_t>(s) * dim, t.k_nope + s * t.k_nope_stride, static_cast<std::size_t>(t.nope) * 4);
    std::memcpy(keys + static_cast<std::ptrdiff_t>(s) * dim + t.nope, t.k_pe + s * t.k_pe_stride, static_cast<std::size_t>(t.rope) * 4);
  }
}

template <class E>
HADAL_INLINE void row_panels(const float* from, std::ptrdiff_t stride, int n, int k, E* to) {
  const std::ptrdiff_t panel = static_cast<std::ptrdiff_t>(round_up(k, Element<E>::kDepth)) * 32;
  for (int row = 0; row < n; row += 32, to += panel) pack_rows<E>(from + row * stride, stride, n - row < 32 ? n - row : 32, k, to);
}

// Scores of one query over its first `visible` keys to probabilities times the returned sum; zeros up to `keys`.
HADAL_INLINE float exponentials(float* scores, int visible, int keys, float scale, float* top_out) {
  const float top = largest(scores, visible) * scale;
  const f32x16 factor = set1(scale), shift = set1(-top);
  f32x16 sum = zero();
  HADAL_FOR_LANES(i, visible, lanes) {
    const f32x16 e = keep_first(exp_masked(fma(load(scores + i), factor, shift)), zero(), lanes);
    sum = add(sum, e);
    store(scores + i, e);
  }
  for (int i = round_up(visible, 16); i < keys; i += 16) store(scores + i, zero());
  *top_out = top;
  return reduce_add(sum);
}

template <class E>
void attention(const AttentionTile& t) {
  const int dim = t.nope + t.rope, depth = Element<E>::kDepth, dim_padded = round_up(dim, depth);
  const int width = round_up(t.positions, 32);
  Scratch scratch{t.scratch};
  float* keys = scratch.take<float>(static_cast<std::ptrdiff_t>(t.positions) * dim);
  E* k_panels = scratch.take<E>(static_cast<std::ptrdiff_t>(width) * dim_padded);
  E* v_panels = scratch.take<E>(static_cast<std::ptrdiff_t>(width) * round_up(t.value, 32));
  E* queries = scratch.take<E>(kForwardQueries * dim_padded);
  float* scores = scratch.take<float>(static_cast<std::ptrdiff_t>(kForwardQueries) * width);
  E* weights = scratch.take<E>(static_cast<std::ptrdiff_t>(kForwardQueries) * width);
  gather_keys(t, keys);
  row_panels<E>(keys, dim, t.positions, dim, k_panels);
  column_panels<E>(t.v, t.v_stride, t.positions, t.value, v_panels);

  const int first = t.positions - t.rows;
  for (int row = 0; row < t.rows; row += kForwardQueries) {
    const int m = t.rows - row < kForwardQueries ? t.rows - row : kForwardQueries;
    const int visible = first + row + m, padded = round_up(visible, 32);  // of the tile's last query
    to_rows<E>(t.q + row * t.q_stride, t.q_stride, m, dim, queries, dim_padded);
    gemm<E, false>(m, padded, dim, queries, dim_padded, k_panels, scores, width, false);
    float inverse[kForwardQueries];
    for (int i = 0; i < m; ++i) {
      float top;
      const float sum = exponentials(scores + static_cast<std::ptrdiff_t>(i) * width, first + row + i + 1, padded, t.scale, &top);
      inverse[i] = 1.0f / sum;
      if (t.lse) t.lse[row + i] = top + log_of(sum);
    }
    to_rows<E>(scores, width, m, padded, weights, width);
    float* out = t.out + row * t.out_stride;
    multiply<E>(m, t.value, visible, t.positions, weights, width, v_panels, out, t.out_stride);
    for (int i = 0; i < m; ++i) {
      const f32x16 factor = set1(inverse[i]);
      float* o = out + i * t.out_stride;
      HADAL_FOR_LANES(j, t.value, lanes) put(o + j, mul(take(o + j, lanes), factor), lanes);
    }
  }
}

// One query row: scores become P, d_weights (dP) becomes dS.
HADAL_INLINE void softmax_backward_row(float* scores, float* d_weights, int visible, int keys, float scale, float lse, float delta) {
  const f32x16 factor = set1(scale), shift = set1(-lse), pull = set1(delta);
  HADAL_FOR_LANES(i, visible, lanes) {
    const f32x16 p = keep_first(exp_masked(fma(load(scores + i), factor, shift)), zero(), lanes);
    store(scores + i, p);
    store(d_weights + i, mul(mul(p, sub(keep_first(load(d_weights + i), zero(), lanes), pull)), factor));
  }
  for (int i = round_up(visible, 16); i < keys; i += 16) {
    store(scores + i, zero());
    store(d_weights + i, zero());
  }
}

template <class E>
void attention_backward(const AttentionTileBackward& b) {
  const AttentionTile& t = b.forward;
  const int dim = t.nope + t.rope, depth = Element<E>::kDepth, dim_padded = round_up(dim, depth), v_padded = round_up(t.value, depth);
  const int width = round_up(t.positions, 32), rows_padded = round_up(kBackwardQueries, depth);
  Scratch scratch{t.scratch};
  float* keys = scratch.take<float>(static_cast<std::ptrdiff_t>(t.positions) * dim);
  float* d_keys = scratch.take<float>(static_cast<std::ptrdiff_t>(t.positions) * dim);
  E* k_panels = scratch.take<E>(static_cast<std::ptrdiff_t>(width) * dim_padded);
  E* v_panels = scratch.take<E>(static_cast<std::ptrdiff_t>(width) * v_padded);
  E* k_columns = scratch.take<E>(static_cast<std::ptrdiff_t>(width) * round_up(dim, 32));
  E* left = scratch.take<E>(static_cast<std::ptrdiff_t>(rows_padded) * (dim_padded + v_padded + 2 * width));
  E* right = scratch.take<E>(static_cast<std::ptrdiff_t>(rows_padded) * (round_up(dim, 32) + round_up(t.value, 32)));
  float* scores = scratch.take<float>(static_cast<std::ptrdiff_t>(kBackwardQueries) * width);
  float* d_weights = scratch.take<float>(static_cast<std::ptrdiff_t>(kBackwardQueries) * width);
  gather_keys(t, keys);
  row_panels<E>(keys, dim, t.positions, dim, k_panels);
  row_panels<E>(t.v, t.v_stride, t.positions, t.value, v_panels);
  column_panels<E>(keys, dim, t.positions, dim, k_columns);
  std::memset(d_keys, 0, static_cast<std::size_t>(t.positions) * static_cast<std::size_t>(dim) * 4);
  for (int s = 0; s < t.positions; ++s) std::memset(b.d_v + s * b.d_v_stride, 0, static_cast<std::size_t>(t.value) * 4);

  E* queries = left;
  E* d_outs = queries + static_cast<std::ptrdiff_t>(rows_padded) * dim_padded;
  E* weights_wide = d_outs + static_cast<std::ptrdiff_t>(rows_padded) * v_padded;
  E* d_scores = weights_wide + static_cast<std::ptrdiff_t>(rows_padded) * width;
  E* q_columns = right;
  E* d_out_columns = right + static_cast<std::ptrdiff_t>(rows_padded) * round_up(dim, 32);

  const int first = t.positions - t.rows;
  for (int row = 0; row < t.rows; row += kBackwardQueries) {
    const int m = t.rows - row < kBackwardQueries ? t.rows - row : kBackwardQueries;
    const int visible = first + row + m, padded = round_up(visible, 32);
    const float* q = t.q + row * t.q_stride;
    const float* d_out = b.d_out + row * b.d_out_stride;
    to_rows<E>(q, t.q_stride, m, dim, queries, dim_padded);
    to_rows<E>(d_out, b.d_out_stride, m, t.value, d_outs, v_padded);
    gemm<E, false>(m, padded, dim, queries, dim_padded, k_panels, scores, width, false);
    gemm<E, false>(m, padded, t.value, d_outs, v_padded, v_panels, d_weights, width, false);
    for (int i = 0; i < m; ++i) {
      const float delta = dot(d_out + i * b.d_out_stride, t.out + (row + i) * t.out_stride, t.value);
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(i) * width;
      softmax_backward_row(scores + at, d_weights + at, first + row + i + 1, padded, t.scale, t.lse[row + i], delta);
    }
    column_panels<E>(d_out, b.d_out_stride, m, t.value, d_out_columns);
    interleave<E>(scores, width, m, visible, visible, weights_wide);
    gemm<E, true>(visible, t.value, m, weights_wide, static_cast<std::ptrdiff_t>(visible) * depth, d_out_columns, b.d_v, b.d_v_stride, true);
    column_panels<E>(q, t.q_stride, m, dim, q_columns);
    interleave<E>(d_weights, width, m, visible, visible, weights_wide);
    gemm<E, true>(visible, dim, m, weights_wide, static_cast<std::ptrdiff_t>(visible) * depth, q_columns, d_keys, dim, true);
    to_rows<E>(d_weights, width, m, padded, d_scores, width);
    multiply<E>(m, dim, visible, t.positions, d_scores, width, k_columns, b.d_q + row * b.d_q_stride, b.d_q_stride);
  }
  for (int s = 0; s < t.positions; ++s) {
    const float* d = d_keys + static_cast<std::ptrdiff_t>(s) * dim;
    std::memcpy(b.d_k_nope + s * b.d_k_nope_stride, d, static_cast<std::size_t>(t.nope) * 4);
    std::memcpy(b.d_k_pe + s * b.d_k_pe_stride, d + t.nope, static_cast<std::size_t>(t.rope) * 4);
  }
}

// --- absorbed order ------------------------------------------------------------------------------------------------
// Pages of 64 latents go by once; each updates a running maximum, sum and weighted mean of latents. Page borders are
// absolute positions, so a result depends on the sequence alone. H heads share every latent that is loaded.

inline constexpr int kPagePositions = 64;

// A latent row as stored, in registers of the products' depth: sixteen floats, or sixteen pairs of bf16.
template <class S>
inline constexpr int kRowLanes = 16 * Element<S>::kDepth;
HADAL_INLINE f32x16 take_row(const float* p, int n) { return take(p, n); }
HADAL_INLINE Bf16x32 take_row(const std::uint16_t* p, int n) { return n == 32 ? load_pairs(p) : load_pairs_first(p, n); }

template <class S>
struct LatentPage {
  const std::byte* first;
  std::size_t row_bytes;
  int rows;
  const S* row(int r) const { return reinterpret_cast<const S*>(first + static_cast<std::size_t>(r < rows ? r : rows - 1) * row_bytes); }
};

HADAL_INLINE void prefetch_bytes(const std::byte* first, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(first + i);
}

// scores[h][64] of all rows of a page. As many positions at once as have their sums in registers: each query is loaded
// for several positions, and with AVX-512 sixteen sums are joined for the price of a few. Meanwhile the page after it
// comes nearer (`next`; null: none): pages lie apart, and no core's own prefetcher knows where. 64 sequences of 1,024
// positions write 1.5 to 1.9 times as much so, eight 1.2 to 1.4 (20 M model, Zen 5, 2026-11-29).
template <class S, int H>
HADAL_INLINE void page_scores(const S* q, std::ptrdiff_t q_stride, int width, const LatentPage<S>& page, const std::byte* next,
                              float* scores) {
  constexpr int kSums = 16, kPositions = kSums / H;
  for (int r = 0; r < page.rows; r += kPositions) {
    if (next) prefetch_bytes(next + static_cast<std::size_t>(r) * page.row_bytes, kPositions * page.row_bytes);
    const S* rows[kPositions];
    for (int p = 0; p < kPositions; ++p) rows[p] = page.row(r + p);  // behind the last: the last again, for nobody
    f32x16 sums[kSums];
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) sums[i] = zero();
    for (int i = 0; i < width; i += kRowLanes<S>) {
      const int n = width - i < kRowLanes<S> ? width - i : kRowLanes<S>;
      typename Element<S>::Wide qs[H];
#pragma GCC unroll 8
      for (int h = 0; h < H; ++h) qs[h] = Element<S>::of(take_row(q + h * q_stride + i, n));
#pragma GCC unroll 16
      for (int p = 0; p < kPositions; ++p) {
        const auto x = Element<S>::of(take_row(rows[p] + i, n));
#pragma GCC unroll 8
        for (int h = 0; h < H; ++h) sums[h * kPositions + p] = Element<S>::multiply_add(sums[h * kPositions + p], qs[h], x);
      }
    }
    float joined[kSums];
    reduce_add_each(sums, joined);
    for (int h = 0; h < H; ++h) std::memcpy(scores + h * kPagePositions + r, joined + h * kPositions, kPositions * sizeof(float));
  }
}

// One head's scores of a page to weights, in bf16 where latents are; the running maximum and sum move on. The sum is that of
// the weights as rounded, so that the mean is one. Returns what the mean so far fades to.
template <class S>
HADAL_INLINE float page_weights(const float* s, int rows, float scale, bool first_page, S* weights, float& top, float& sum) {
  const float page_top = largest(s, rows) * scale, new_top = page_top > top ? page_top : top;
  const f32x16 factor = set1(scale), shift = set1(-new_top);
  f32x16 page_sum = zero();
  HADAL_FOR_LANES(i, rows, lanes) {  // zeros behind the last row
    f32x16 e = keep_first(exp_masked(fma(load(s + i), factor, shift)), zero(), lanes);
    if constexpr (sizeof(S) == sizeof(float)) {
      store(weights + i, e);
    } else {
      store_bf16(weights + i, e);
      e = load_bf16(weights + i);
    }
    page_sum = add(page_sum, e);
  }
  float kept[16];
  to_array(exp_masked(set1(first_page ? -100.0f : top - new_top)), kept);
  sum = __builtin_fmaf(sum, kept[0], reduce_add(page_sum));
  top = new_top;
  return kept[0];
}

// mean[h] = mean[h] * kept[h] + sum over the page's rows of weight * latent.
template <int H>
HADAL_INLINE void add_page(const float* weights, const float* kept, const LatentPage<float>& page, int latent, bool first_page, float* mean,
                           std::ptrdiff_t mean_stride) {
  HADAL_FOR_LANES(i, latent, lanes) {
    f32x16 acc[H];
#pragma GCC unroll 8
    for (int h = 0; h < H; ++h) acc[h] = first_page ? zero() : mul(take(mean + h * mean_stride + i, lanes), set1(kept[h]));
    for (int r = 0; r < page.rows; ++r) {
      const f32x16 x = take(page.row(r) + i, lanes);
#pragma GCC unroll 8
      for (int h = 0; h < H; ++h) acc[h] = fma(set1(weights[h * kPagePositions + r]), x, acc[h]);
    }
#pragma GCC unroll 8
    for (int h = 0; h < H; ++h) put(mean + h * mean_stride + i, acc[h], lanes);
  }
}

// The same with rows in pairs; behind an odd last row comes a weight of zero.
template <int H>
HADAL_INLINE void add_page(const std::uint16_t* weights, const float* kept, const LatentPage<std::uint16_t>& page, int latent,
                           bool first_page, float* mean, std::ptrdiff_t mean_stride) {
  for (int i = 0; i < latent; i += 32) {
    const int n = latent - i < 32 ? latent - i : 32, lanes[2] = {n < 16 ? n : 16, n - 16};
    const int halves = n > 16 ? 2 : 1;
    f32x16 acc[H][2];
#pragma GCC unroll 8
    for (int h = 0; h < H; ++h)
      for (int j = 0; j < 2; ++j)
        acc[h][j] = first_page || j >= halves ? zero() : mul(take(mean + h * mean_stride + i + 16 * j, lanes[j]), set1(kept[h]));
    for (int r = 0; r < page.rows; r += 2) {
      Bf16x32 low, high;
      pair_rows(take_row(page.row(r) + i, n), take_row(page.row(r + 1) + i, n), low, high);
#pragma GCC unroll 8
      for (int h = 0; h < H; ++h) {
        const Bf16x32 w = set1_pair(weights + h * kPagePositions + r);
        acc[h][0] = dot_pairs(acc[h][0], w, low);
        acc[h][1] = dot_pairs(acc[h][1], w, high);
      }
    }
#pragma GCC unroll 8
    for (int h = 0; h < H; ++h)
      for (int j = 0; j < halves; ++j) put(mean + h * mean_stride + i + 16 * j, acc[h][j], lanes[j]);
  }
}

template <class S, int H>
void absorbed_heads(const AbsorbedTile& t, int head) {
  const int width = t.latent + t.rope, q_stride = round_up(width, 32);
  Scratch scratch{t.scratch};
  S* q = scratch.take<S>(H * q_stride);
  float* scores = scratch.take<float>(H * kPagePositions);
  S* weights = scratch.take<S>(H * kPagePositions);
  to_rows<S>(t.q + head * t.q_stride, t.q_stride, H, width, q, q_stride);
  float* mean = t.out + head * t.out_stride;
  float top[H], sum[H], kept[H];
  for (int h = 0; h < H; ++h) {
    top[h] = -__builtin_inff();
    sum[h] = 0;
  }
  for (int position = 0; position < t.positions; position += kPagePositions) {
    const int rows = t.positions - position < kPagePositions ? t.positions - position : kPagePositions;
    const LatentPage<S> page{t.pages[position / kPagePositions], t.row_bytes, rows};
    const bool first_page = position == 0;
    const std::byte* next = position + kPagePositions < t.positions ? t.pages[position / kPagePositions + 1] : nullptr;
    page_scores<S, H>(q, q_stride, width, page, next, scores);
    for (int h = 0; h < H; ++h)
      kept[h] = page_weights<S>(scores + h * kPagePositions, rows, t.scale, first_page, weights + h * kPagePositions, top[h], sum[h]);
    add_page<H>(weights, kept, page, t.latent, first_page, mean, t.out_stride);
  }
  for (int h = 0; h < H; ++h) scale_row(mean + h * t.out_stride, 1.0f / sum[h], t.latent);
}

template <class S>
void absorbed(const AbsorbedTile& t) {
  int head = 0;
  for (; head + 8 <= t.heads; head += 8) absorbed_heads<S, 8>(t, head);
  for (; head + 4 <= t.heads; head += 4) absorbed_heads<S, 4>(t, head);
  for (; head + 2 <= t.heads; head += 2) absorbed_heads<S, 2>(t, head);
  for (; head < t.heads; ++head) absorbed_heads<S, 1>(t, head);
}

}  // namespace hadal::HADAL_SIMD_NAMESPACE
