// The one matrix product behind everything: an outer-product tile of MR rows by
// 32 * NP outputs. The right operand comes in panels, so weights stream once and
// in order; the left one is broadcast. Included by simd/isa_*.cc.

namespace hadal::HADAL_SIMD_NAMESPACE {

template <class E>
struct Element;
template <>
struct Element<float> {
  static constexpr int kDepth = 1;
  using Left = float;
  using Wide = f32x16;
  static HADAL_INLINE Wide load_b(const float* p) { return load(p); }
  static HADAL_INLINE Wide of(f32x16 x) { return x; }
  static HADAL_INLINE Wide broadcast(const float* p) { return set1(*p); }
  static HADAL_INLINE f32x16 multiply_add(f32x16 acc, Wide a, Wide b) { return fma(a, b, acc); }
};
template <>
struct Element<std::uint16_t> {  // bf16
  static constexpr int kDepth = 2;
#if defined(HADAL_SIMD_BF16)
  using Left = std::uint16_t;
  using Wide = Bf16x32;
  static HADAL_INLINE Wide of(Bf16x32 x) { return x; }
  static HADAL_INLINE Wide load_b(const std::uint16_t* p) { return load_pairs(p); }
  static HADAL_INLINE Wide broadcast(const std::uint16_t* p) { return set1_pair(p); }
  static HADAL_INLINE f32x16 multiply_add(f32x16 acc, Wide a, Wide b) { return dot_pairs(acc, a, b); }
#else
  // Two multiply-adds of floats: panels are widened on the way, and the left operand is never narrowed.
  using Left = float;
  struct Wide {
    f32x16 first, second;
  };
  static HADAL_INLINE Wide of(Bf16x32 x) { return {firsts(x), seconds(x)}; }
  static HADAL_INLINE Wide load_b(const std::uint16_t* p) { return of(load_pairs(p)); }
  static HADAL_INLINE Wide broadcast(const float* p) { return {set1(p[0]), set1(p[1])}; }
  static HADAL_INLINE f32x16 multiply_add(f32x16 acc, const Wide& a, const Wide& b) {
    return fma(a.first, b.first, fma(a.second, b.second, acc));
  }
#endif
};
template <class E>
using Left = typename Element<E>::Left;
using Factor = Left<std::uint16_t>;  // what both operands of a product are where none is stored: gradients, attention

void widen_row(const std::uint16_t* from, int n, float* to) {
  int i = 0;
  for (; i + 16 <= n; i += 16) store(to + i, load_bf16(from + i));
  for (; i < n; ++i) {
    const std::uint32_t u = static_cast<std::uint32_t>(from[i]) << 16;
    std::memcpy(to + i, &u, 4);
  }
}

// A core's own prefetcher stops at each end of a page, and few rows of experts are multiplied faster than panels come:
// 3 KB of bf16 ahead give 4 to 18 % with one or two rows an expert, 4 to 8 % with eight, 3 % to prompts; 8 KB ahead take
// 10 % from a single row (20 M model, Emerald Rapids, 2026-11-29).
inline constexpr int kStepsAhead = 24;
template <class E>
HADAL_INLINE void prefetch_step(const E* panel) {  // two cache lines
  __builtin_prefetch(panel);
  __builtin_prefetch(panel + 16 * Element<E>::kDepth);
}

// kWide: a is [k / depth][m][depth] with a_stride elements from one k to the next; else rows with a_stride from row to row.
template <class E, int MR, int NP, bool kWide>
HADAL_INLINE void tile(int n, int steps, const Left<E>* a, std::ptrdiff_t a_stride, const E* b, std::ptrdiff_t panel_stride, float* c,
                       std::ptrdiff_t c_stride, bool accumulate) {
  constexpr int kDepth = Element<E>::kDepth;
  f32x16 acc[MR][2 * NP];
  const bool whole = n == 32 * NP;
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < 2 * NP; ++j) {
      if (!accumulate) {
        acc[i][j] = zero();
      } else if (whole) {
        acc[i][j] = load(c + i * c_stride + 16 * j);
      } else {
        const int left = n - 16 * j;
        acc[i][j] = left <= 0 ? zero() : load_first(c + i * c_stride + 16 * j, left < 16 ? left : 16);
      }
    }
  for (int s = 0; s < steps; ++s) {
    typename Element<E>::Wide bs[2 * NP];
#pragma GCC unroll 8
    for (int j = 0; j < 2 * NP; ++j) bs[j] = Element<E>::load_b(b + (j / 2) * panel_stride + (j % 2) * 16 * kDepth);
#pragma GCC unroll 4
    for (int j = 0; j < NP; ++j) prefetch_step(b + j * panel_stride + kStepsAhead * 32 * kDepth);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const auto as = Element<E>::broadcast(kWide ? a + i * kDepth : a + i * a_stride);
#pragma GCC unroll 8
      for (int j = 0; j < 2 * NP; ++j) acc[i][j] = Element<E>::multiply_add(acc[i][j], as, bs[j]);
    }
    a += kWide ? a_stride : kDepth;
    b += 32 * kDepth;
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < 2 * NP; ++j) {
      if (whole) {
        store(c + i * c_stride + 16 * j, acc[i][j]);
      } else {
        const int left = n - 16 * j;
        if (left > 0) store_first(c + i * c_stride + 16 * j, acc[i][j], left < 16 ? left : 16);
      }
    }
}

// Rows of a tile, each with two registers of outputs. AVX-512: 24 of 32 registers accumulate. Otherwise two halves each
// in 16 registers: three rows of floats fit (97 % of the multiply-add rate; four spill: 56 %), but bf16 must be widened
// first, which four rows share (82 %; three: 65 %; AVX2 on a Zen 4 core, 2026-11-25).
#if defined(HADAL_SIMD_AVX512)
inline constexpr int kMaxTileRows = 12;
template <class E>
inline constexpr int kTileRows = 12;
#else
inline constexpr int kMaxTileRows = 4;
template <class E>
inline constexpr int kTileRows = Element<E>::kDepth == 1 ? 3 : 4;
#endif

template <class E>
using TileCall = void (*)(int n, int steps, const Left<E>* a, std::ptrdiff_t a_stride, const E* b, std::ptrdiff_t panel_stride, float* c,
                          std::ptrdiff_t c_stride, bool accumulate);

template <class E, int MR, int NP, bool kWide>
void tile_call(int n, int steps, const Left<E>* a, std::ptrdiff_t a_stride, const E* b, std::ptrdiff_t panel_stride, float* c,
               std::ptrdiff_t c_stride, bool accumulate) {
  tile<E, MR, NP, kWide>(n, steps, a, a_stride, b, panel_stride, c, c_stride, accumulate);
}

// One for every number of rows: two tiles for an odd few would read the weights twice.
template <class E, bool kWide>
inline constexpr TileCall<E> kTiles[kMaxTileRows] = {
    tile_call<E, 1, 1, kWide>,  tile_call<E, 2, 1, kWide>,  tile_call<E, 3, 1, kWide>,  tile_call<E, 4, 1, kWide>,
#if defined(HADAL_SIMD_AVX512)
    tile_call<E, 5, 1, kWide>,  tile_call<E, 6, 1, kWide>,  tile_call<E, 7, 1, kWide>,  tile_call<E, 8, 1, kWide>,
    tile_call<E, 9, 1, kWide>,  tile_call<E, 10, 1, kWide>, tile_call<E, 11, 1, kWide>, tile_call<E, 12, 1, kWide>,
#endif
};

// c [m, n] (+)= a · b over `steps` depths of each panel.
template <class E, bool kWide>
HADAL_INLINE void multiply_steps(int m, int n, int steps, const Left<E>* a, std::ptrdiff_t a_stride, const E* b,
                           std::ptrdiff_t panel_stride, float* c, std::ptrdiff_t c_stride, bool accumulate) {
  constexpr int kDepth = Element<E>::kDepth;
  int column = 0;
  // One row: four panels at once, or the latency of two accumulators' chains would be all the time.
  if (m == 1)
    for (; column + 128 <= n; column += 128)
      tile_call<E, 1, 4, kWide>(128, steps, a, a_stride, b + column / 32 * panel_stride, panel_stride, c + column, c_stride, accumulate);
  // Tiles of nearly equal height: thirteen rows are seven and six, not twelve and one.
  const int tiles = (m + kTileRows<E> - 1) / kTileRows<E>;
  for (; column < n; column += 32) {
    const int width = n - column < 32 ? n - column : 32;
    const E* panel = b + column / 32 * panel_stride;
    for (int t = 0; t < tiles; ++t) {
      const auto first_row = [&](int tile) { return static_cast<int>(static_cast<std::ptrdiff_t>(tile) * m / tiles); };
      const int row = first_row(t), rows = first_row(t + 1) - row;
      const Left<E>* a_row = kWide ? a + static_cast<std::ptrdiff_t>(row) * kDepth : a + row * a_stride;
      kTiles<E, kWide>[rows - 1](width, steps, a_row, a_stride, panel, panel_stride, c + row * c_stride + column, c_stride, accumulate);
    }
  }
}

template <class E, bool kWide>
void gemm(int m, int n, int k, const Left<E>* a, std::ptrdiff_t a_stride, const E* b, float* c, std::ptrdiff_t c_stride, bool accumulate) {
  constexpr int kDepth = Element<E>::kDepth;
  const int steps = (k + kDepth - 1) / kDepth;
  const std::ptrdiff_t panel_stride = static_cast<std::ptrdiff_t>(steps) * 32 * kDepth;
  if constexpr (sizeof(Left<E>) == sizeof(E)) {
    multiply_steps<E, kWide>(m, n, steps, a, a_stride, b, panel_stride, c, c_stride, accumulate);
  } else {
    static_assert(!kWide, "gradients without dots of pairs are products of floats");
    // As many steps at a time as leave the floats of a block of rows near the core while panels go by.
    constexpr int kFloats = 12288, kRows = 96;
    for (int row = 0; row < m; row += kRows) {
      const int rows = m - row < kRows ? m - row : kRows, block = kFloats / (kDepth * rows);
      for (int s = 0; s < steps; s += block)
        multiply_steps<E, kWide>(rows, n, steps - s < block ? steps - s : block, a + row * a_stride + kDepth * s, a_stride,
                                 b + static_cast<std::ptrdiff_t>(s) * 32 * kDepth, panel_stride, c + row * c_stride, c_stride,
                                 accumulate || s > 0);
    }
  }
}

// --- packing -------------------------------------------------------------------------------------------------------

HADAL_INLINE std::uint16_t narrow_one(float x) {
  std::uint32_t u;
  std::memcpy(&u, &x, 4);
  return static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

void narrow_row(const float* from, int n, int padded, std::uint16_t* to) {
  int i = 0;
  for (; i + 16 <= n; i += 16) store_bf16(to + i, load(from + i));
  for (; i < n; ++i) to[i] = narrow_one(from[i]);
  for (; i < padded; ++i) to[i] = 0;
}

void narrow_scaled_row(const float* from, const float* factors, int n, int padded, std::uint16_t* to) {
  int i = 0;
  for (; i + 16 <= n; i += 16) store_bf16(to + i, mul(load(from + i), load(factors + i)));
  for (; i < n; ++i) to[i] = narrow_one(from[i] * factors[i]);
  for (; i < padded; ++i) to[i] = 0;
}

// n <= 16 rows into one half of a panel, whose first element is `to`; lanes of rows that are not there stay as they are.
template <class E>
HADAL_INLINE void pack_half(const float* from, std::ptrdiff_t stride, int n, int k, E* to) {
  constexpr int kDepth = Element<E>::kDepth, kStep = 16 * kDepth;
  int s = 0;
  if (n == 16)
    for (; s + kStep <= k; s += kStep) {
      f32x16 x[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        if constexpr (kDepth == 1) {
          x[i] = load(from + i * stride + s);
        } else {  // pairs of bf16, moved as if they were floats
          std::uint16_t pairs[32];
          store_bf16(pairs, load(from + i * stride + s));
          store_bf16(pairs + 16, load(from + i * stride + s + 16));
          float lanes[16];
          std::memcpy(lanes, pairs, 64);
          x[i] = load(lanes);
        }
      }
      transpose(x);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) store(reinterpret_cast<float*>(to + (s / kDepth + i) * 32 * kDepth), x[i]);
    }
  for (; s < k; s += kDepth)
    for (int i = 0; i < n; ++i) {
      const float* row = from + i * stride;
      E* at = to + (s / kDepth) * 32 * kDepth + i * kDepth;
      if constexpr (kDepth == 1) {
        *at = row[s];
      } else {
        at[0] = narrow_one(row[s]);
        at[1] = s + 1 < k ? narrow_one(row[s + 1]) : 0;
      }
    }
}

template <class E>
void pack_rows(const float* from, std::ptrdiff_t stride, int n, int k, E* panel) {
  constexpr int kDepth = Element<E>::kDepth;
  const int steps = (k + kDepth - 1) / kDepth;
  if (n < 32) std::memset(panel, 0, static_cast<std::size_t>(steps) * 32 * kDepth * sizeof(E));
  pack_half<E>(from, stride, n < 16 ? n : 16, k, panel);
  if (n > 16) pack_half<E>(from + 16 * stride, stride, n - 16, k, panel + 16 * kDepth);
}

void interleave_f32(const float* from, std::ptrdiff_t stride, const std::int32_t* rows, int k, int n, int width, float* to) {
  for (int s = 0; s < k; ++s) {
    const float* row = from + (rows ? rows[s] : s) * stride;
    int i = 0;
    for (; i + 16 <= n; i += 16) store(to + i, load(row + i));
    for (; i < n; ++i) to[i] = row[i];
    for (; i < width; ++i) to[i] = 0;
    to += width;
  }
}

void interleave_bf16(const float* from, std::ptrdiff_t stride, const std::int32_t* rows, int k, int n, int width, std::uint16_t* to) {
  for (int s = 0; s < k; s += 2) {
    const float* even = from + (rows ? rows[s] : s) * stride;
    const bool pair = s + 1 < k;
    const float* odd = pair ? from + (rows ? rows[s + 1] : s + 1) * stride : even;
    int i = 0;
    if (pair) {
      for (; i + 16 <= n; i += 16) store_bf16_pairs(to + 2 * i, load(even + i), load(odd + i));
    } else {
      for (; i + 16 <= n; i += 16) store_bf16_pairs(to + 2 * i, load(even + i), zero());
    }
    for (; i < n; ++i) {
      to[2 * i] = narrow_one(even[i]);
      to[2 * i + 1] = pair ? narrow_one(odd[i]) : 0;
    }
    if (n < width) std::memset(to + 2 * n, 0, static_cast<std::size_t>(width - n) * 4);
    to += 2 * width;
  }
}

}  // namespace hadal::HADAL_SIMD_NAMESPACE
