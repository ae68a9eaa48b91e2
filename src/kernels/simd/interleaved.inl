// Products of a few rows with weights of which sixteen rows lie side by side (base/interleaved_rows.h): lane i works on
// row i of the tile, so codes need no shuffle and sums end where y wants them. Included by simd/isa_*.cc.

namespace hadal::HADAL_SIMD_NAMESPACE {

// The types whose rows may lie in tiles, and how many of their values share a scale.
struct Tiled {
  DType dtype = DType::f32;
  int run_values = 0;  // 0: never in tiles
};
template <class T>
inline constexpr Tiled kTiled = {};
template <>
inline constexpr Tiled kTiled<Q40> = {DType::q4_0, 32};
template <>
inline constexpr Tiled kTiled<Q50> = {DType::q5_0, 32};
template <>
inline constexpr Tiled kTiled<Q80> = {DType::q8_0, 32};
template <>
inline constexpr Tiled kTiled<Q4K> = {DType::q4_k, 32};
template <>
inline constexpr Tiled kTiled<Q5K> = {DType::q5_k, 32};
template <>
inline constexpr Tiled kTiled<Q6K> = {DType::q6_k, 16};

// Few rows of x go through whole rows of W. Of many, so many over so many inputs as stay in the first-level cache (24
// KiB) while tiles go by.
inline constexpr int kFewRows = 8, kRowsAtOnce = 32, kInputsAtOnce = 512;

#if defined(HADAL_SIMD_AVX512)

// The body of an unrolled loop over runs: a function apiece for compilers that add checks to each of its loads.
#if defined(HADAL_UNROLLED_APART)
#define HADAL_RUN_BODY __attribute__((noinline))
#else
#define HADAL_RUN_BODY __attribute__((always_inline))
#endif

template <int N>
struct Number {
  static constexpr int kValue = N;
};
// f(Number<0>), f(Number<1>), ... f(Number<N - 1>).
template <int N, int kFirst = 0, class F>
HADAL_INLINE void unrolled(const F& f) {
  if constexpr (kFirst < N) {
    f(Number<kFirst>());
    unrolled<N, kFirst + 1>(f);
  }
}

// What the products ask of a type, by runs of kRunValues values that share a scale: codes(block, run, word), where word
// w are values 4 w to 4 w + 3 of the run; and Scales, made once a block, with scale(run) and minimum(run). Types whose
// minimum is their scale times a number have that number.
template <class T>
struct Interleaved {
  static constexpr bool kExists = false;
};

// The word at `word` words after `halves` half-precision numbers.
template <int kHalves>
HADAL_INLINE u8x64 words_at(const std::byte* block, int word) {
  return load_codes(block + 32 * kHalves + 64 * word);
}

// One half-precision scale for 32 values.
template <int kMinimum>
struct OneScale {
  f32x16 d;
  explicit HADAL_INLINE OneScale(const std::byte* block) : d(halves_at(block)) {}
  template <int kRun>
  HADAL_INLINE f32x16 scale() const {
    return d;
  }
  template <int kRun>
  HADAL_INLINE f32x16 minimum() const {
    return mul(d, set1(static_cast<float>(kMinimum)));
  }
};

// Words 0 to 3 are the low nibbles, 4 to 7 the high ones.
template <int kHalves, int kWord>
HADAL_INLINE u8x64 nibbles_of_32(const std::byte* block, int first) {
  const u8x64 bits = words_at<kHalves>(block, first + kWord % 4);
  return mask(kWord < 4 ? bits : shift_right<4, 4, 4, 4>(bits), 0x0f);
}

template <>
struct Interleaved<Q40> {
  using Scales = OneScale<8>;
  template <int kRun, int kWord>
  static HADAL_INLINE u8x64 codes(const std::byte* block) {
    return nibbles_of_32<1, kWord>(block, 0);
  }
};

// Bit kBit of each byte, as bit 4.
template <int kBit>
HADAL_INLINE u8x64 as_fifth_bits(u8x64 bits) {
  if constexpr (kBit < 4)
    return mask(shift_left<4 - kBit>(bits), 0x10);
  else
    return mask(shift_right<kBit - 4, kBit - 4, kBit - 4, kBit - 4>(bits), 0x10);
}

template <>
struct Interleaved<Q50> {
  using Scales = OneScale<16>;
  template <int kRun, int kWord>
  static HADAL_INLINE u8x64 codes(const std::byte* block) {
    return either(nibbles_of_32<1, kWord>(block, 1), as_fifth_bits<kWord>(words_at<1>(block, 0)));
  }
};

template <>
struct Interleaved<Q80> {
  using Scales = OneScale<128>;
  template <int kRun, int kWord>
  static HADAL_INLINE u8x64 codes(const std::byte* block) {
    return flip(words_at<1>(block, kWord), 0x80);
  }
};

// Six-bit scales and minima of eight runs, four to a word (Q4_K, Q5_K).
struct SixBitScales {
  f32x16 d, d_minimum;
  u8x64 scales[2], minima[2];
  explicit HADAL_INLINE SixBitScales(const std::byte* block) : d(halves_at(block)), d_minimum(halves_at(block + 32)) {
    const u8x64 a = words_at<2>(block, 0), b = words_at<2>(block, 1), c = words_at<2>(block, 2);
    scales[0] = mask(a, 0x3f);
    minima[0] = mask(b, 0x3f);
    scales[1] = either(mask(c, 0x0f), mask(shift_right<2, 2, 2, 2>(a), 0x30));
    minima[1] = either(mask(shift_right<4, 4, 4, 4>(c), 0x0f), mask(shift_right<2, 2, 2, 2>(b), 0x30));
  }
  template <int kRun>
  HADAL_INLINE f32x16 scale() const {
    return mul(byte_of_words<kRun % 4>(scales[kRun / 4]), d);
  }
  template <int kRun>
  HADAL_INLINE f32x16 minimum() const {
    return mul(byte_of_words<kRun % 4>(minima[kRun / 4]), d_minimum);
  }
};

// Eight words hold run 2 i in their low nibbles, run 2 i + 1 in the high ones.
template <int kRun, int kWord>
HADAL_INLINE u8x64 nibbles_of_256(const std::byte* block, int first) {
  const u8x64 bits = words_at<2>(block, first + kRun / 2 * 8 + kWord);
  return mask(kRun % 2 == 0 ? bits : shift_right<4, 4, 4, 4>(bits), 0x0f);
}

template <>
struct Interleaved<Q4K> {
  using Scales = SixBitScales;
  template <int kRun, int kWord>
  static HADAL_INLINE u8x64 codes(const std::byte* block) {
    return nibbles_of_256<kRun, kWord>(block, 3);
  }
};

template <>
struct Interleaved<Q5K> {
  using Scales = SixBitScales;
  template <int kRun, int kWord>
  static HADAL_INLINE u8x64 codes(const std::byte* block) {
    return either(nibbles_of_256<kRun, kWord>(block, 11), as_fifth_bits<kRun>(words_at<2>(block, 3 + kWord)));
  }
};

template <>
struct Interleaved<Q6K> {
  struct Scales {
    f32x16 d;
    u8x64 scales[4];
    explicit HADAL_INLINE Scales(const std::byte* block) : d(halves_at(block)) {
      for (int i = 0; i < 4; ++i) scales[i] = words_at<1>(block, 48 + i);
    }
    template <int kRun>
    HADAL_INLINE f32x16 scale() const {
      return mul(signed_byte_of_words<kRun % 4>(scales[kRun / 4]), d);
    }
    template <int kRun>
    HADAL_INLINE f32x16 minimum() const {
      return mul(scale<kRun>(), set1(32.0f));
    }
  };
  // Each 128 values: quarters of 32, low nibbles 0 and 1, then the high ones 2 and 3; two bits more a value.
  template <int kRun, int kWord>
  static HADAL_INLINE u8x64 codes(const std::byte* block) {
    constexpr int kHalf = kRun / 8, kQuarter = kRun % 8 / 2, kAt = kRun % 2 * 4 + kWord;
    const u8x64 low = words_at<1>(block, 16 * kHalf + kQuarter % 2 * 8 + kAt),
                high = words_at<1>(block, 32 + 8 * kHalf + kAt);
    const u8x64 nibbles = mask(kQuarter < 2 ? low : shift_right<4, 4, 4, 4>(low), 0x0f);
    if constexpr (kQuarter < 2)  // bits 2 q and 2 q + 1 become 4 and 5
      return either(nibbles, mask(shift_left<4 - 2 * kQuarter>(high), 0x30));
    else
      return either(
          nibbles,
          mask(shift_right<2 * kQuarter - 4, 2 * kQuarter - 4, 2 * kQuarter - 4, 2 * kQuarter - 4>(high), 0x30));
  }
};

// y[r * y_stride + i] (+)= row i of the tile · row r of x, i in [0, 16).
template <class T, int M>
void dot_tile(const std::byte* tile, int k, const CodedRow* x, float* y, std::ptrdiff_t y_stride, bool accumulate) {
  using Type = Interleaved<T>;
  constexpr int kRunValues = kTiled<T>.run_values, kRuns = T::kBlockValues / kRunValues, kBytes = 16 * T::kBlockBytes;
  f32x16 sums[M];
#pragma GCC unroll 8
  for (int r = 0; r < M; ++r) sums[r] = zero();
  for (int first = 0; first < k; first += T::kBlockValues, tile += kBytes) {
    // 256 values of each row ahead, into the second-level cache: over matrices in memory a twentieth faster than 4 KiB
    // ahead into the first, which suits rows (stored.inl). Less (a block of 32 values) is too late.
    constexpr int kAhead = kBytes * (256 / T::kBlockValues);
    for (int line = 0; line < kBytes; line += 64) __builtin_prefetch(tile + kAhead + line, 0, 2);
    const typename Type::Scales scales(tile);
    unrolled<kRuns>([&](auto run) HADAL_RUN_BODY {
      constexpr int kRun = decltype(run)::kValue, kFirst = kRun * kRunValues;
      // Sixteen values lie in one lane of x, four at each of four steps; the next sixteen are four lanes on.
      const int lane = run_lane((first + kFirst) % 256 / 16), block = (first + kFirst) / 256;
      const std::ptrdiff_t codes_at = 256 * block + 4 * lane, scales_at = 16 * block + lane;
      i32x16 dots[M];
#pragma GCC unroll 8
      for (int r = 0; r < M; ++r) dots[r] = no_sum();
      unrolled<kRunValues / 4>([&](auto word) __attribute__((always_inline)) {
        constexpr int kWord = decltype(word)::kValue;
        const u8x64 codes = Type::template codes<kRun, kWord>(tile);
#pragma GCC unroll 8
        for (int r = 0; r < M; ++r)
          dots[r] = add_dot_of_four<T::kBelow128>(dots[r], codes,
                                                  x[r].codes + codes_at + 64 * (kWord % 4) + 16 * (kWord / 4));
      });
      const f32x16 scale = scales.template scale<kRun>(), minimum = scales.template minimum<kRun>();
#pragma GCC unroll 8
      for (int r = 0; r < M; ++r) {
        sums[r] = fma(to_floats(dots[r]), mul(scale, set1(x[r].scales[scales_at])), sums[r]);
        sums[r] = fma(minimum, set1(x[r].sums[scales_at]), sums[r]);
        if constexpr (kRunValues == 32) sums[r] = fma(minimum, set1(x[r].sums[scales_at + 4]), sums[r]);
      }
    });
  }
#pragma GCC unroll 8
  for (int r = 0; r < M; ++r) {
    float* to = y + r * y_stride;
    store(to, accumulate ? add(load(to), sums[r]) : sums[r]);
  }
}

// The largest number of rows of x that is left.
template <class T, int M>
HADAL_INLINE void dot_tile_of(const std::byte* tile, int k, const CodedRow* x, int m, float* y, std::ptrdiff_t y_stride,
                              bool accumulate) {
  for (; m >= M; m -= M, x += M, y += M * y_stride) dot_tile<T, M>(tile, k, x, y, y_stride, accumulate);
  if constexpr (M == 4)
    if (m == 3) return dot_tile<T, 3>(tile, k, x, y, y_stride, accumulate);
  if constexpr (M > 1)
    if (m > 0) dot_tile_of<T, M / 2>(tile, k, x, m, y, y_stride, accumulate);
}

// interleave_rows(), sixteen words of sixteen rows at a time.
template <class T>
void make_tile(const std::byte* rows, std::size_t row_bytes, std::byte* tile) {
  constexpr TileLayout kLayout = *tile_layout_of(kTiled<T>.dtype);
  constexpr int kHalves = kLayout.halves, kWords = (T::kBlockBytes - 2 * kHalves) / 4;
  constexpr int kFirstHalf = kLayout.first_half, kFirstWord = kLayout.first_word();
  for (std::size_t at = 0; at < row_bytes; at += T::kBlockBytes, tile += 16 * T::kBlockBytes) {
    for (int i = 0; i < 16; ++i)
      for (int h = 0; h < kHalves; ++h)
        std::memcpy(tile + 32 * h + 2 * i, rows + static_cast<std::size_t>(i) * row_bytes + at + kFirstHalf + 2 * h, 2);
    for (int done = 0; done < kWords; done += 16) {
      const int word = done + 16 <= kWords ? done : kWords < 16 ? 0 : kWords - 16;  // the last ones once more
      const auto* from = reinterpret_cast<const float*>(rows + at + kFirstWord + 4 * word);
      f32x16 x[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        const auto* row = reinterpret_cast<const float*>(reinterpret_cast<const std::byte*>(from) +
                                                         static_cast<std::size_t>(i) * row_bytes);
        x[i] = kWords < 16 ? load_first(row, kWords) : load(row);
      }
      transpose(x);
      auto* to = reinterpret_cast<float*>(tile + 32 * kHalves + 64 * word);
#pragma GCC unroll 16
      for (int w = 0; w < (kWords < 16 ? kWords : 16); ++w) store(to + 16 * w, x[w]);
    }
    if constexpr (kLayout.fifth_bits) {
      auto* bits = reinterpret_cast<std::uint8_t*>(tile + 32 * kHalves);
      u8x64 words = load_codes(bits);
      for (int twice = 0; twice < 2; ++twice)
        for (const FifthBitsStep& step : kFifthBitsSteps) words = exchange_bits(words, step.shift, step.mask);
      store_codes(bits, words);
    }
  }
}

template <class T>
HADAL_INLINE void multiply_tile(const std::byte* tile, int k, const CodedRow* x, int m, float* y,
                                std::ptrdiff_t y_stride, bool accumulate) {
  dot_tile_of<T, kDotRows>(tile, k, x, m, y, y_stride, accumulate);
}

#else  // a row at a time, taken out of its tile; sums in the order of the lanes above

template <class T>
void make_tile(const std::byte* rows, std::size_t row_bytes, std::byte* tile) {
  interleave_rows(kTiled<T>.dtype, rows, row_bytes, tile);
}

template <class T>
void multiply_tile(const std::byte* tile, int k, const CodedRow* x, int m, float* y, std::ptrdiff_t y_stride,
                   bool accumulate) {
  constexpr int kBytes = 256 / T::kBlockValues * T::kBlockBytes, kRunValues = kTiled<T>.run_values;
  for (int row = 0; row < 16; ++row) {
    float sums[kRowsAtOnce] = {};
    for (int first = 0; first < k; first += 256) {
      const int values = k - first < 256 ? k - first : 256;
      std::byte block[kBytes] = {};
      extract_row(kTiled<T>.dtype, tile + static_cast<std::ptrdiff_t>(first / 256) * 16 * kBytes,
                  static_cast<std::size_t>(values / T::kBlockValues * T::kBlockBytes), row, block);
      Codes w = T::unpack(block);
      to_run_order(w.codes);
      float scales[16], minima[16];
      store(scales, w.scales);
      store(minima, w.minima);
      for (int r = 0; r < m; ++r) {
        i32x16 dots = no_sum();
        for (int c = 0; c < 4; ++c) dots = add_dot<T::kBelow128>(dots, w.codes[c], x[r].codes + first + 64 * c);
        for (int at = 0; at < values; at += kRunValues) {
          const int lane = run_lane(at / 16), in_x = first / 16 + lane;
          const std::int32_t dot = kRunValues == 32 ? dots.v[lane] + dots.v[lane + 4] : dots.v[lane];
          sums[r] = __builtin_fmaf(static_cast<float>(dot), scales[lane] * x[r].scales[in_x], sums[r]);
          sums[r] = __builtin_fmaf(minima[lane], x[r].sums[in_x], sums[r]);
          if (kRunValues == 32) sums[r] = __builtin_fmaf(minima[lane], x[r].sums[in_x + 4], sums[r]);
        }
      }
    }
    for (int r = 0; r < m; ++r) {
      float& to = y[r * y_stride + row];
      to = accumulate ? to + sums[r] : sums[r];
    }
  }
}

#endif

template <class T>
void interleaved_dot(const std::byte* tiles, std::size_t row_bytes, int n, int k, const CodedRow* x, int m, float* y,
                     std::ptrdiff_t y_stride, bool accumulate) {
  const auto tile_at = [&](int j) { return tiles + static_cast<std::size_t>(j) * row_bytes; };
  if (m <= kFewRows) {  // whole rows, as they lie in memory
    for (int j = 0; j < n; j += 16) multiply_tile<T>(tile_at(j), k, x, m, y + j, y_stride, accumulate);
    return;
  }
  for (int first = 0; first < k; first += kInputsAtOnce) {
    const int inputs = k - first < kInputsAtOnce ? k - first : kInputsAtOnce;
    const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(first / T::kBlockValues) * 16 * T::kBlockBytes;
    for (int row = 0; row < m; row += kRowsAtOnce) {
      const int rows = m - row < kRowsAtOnce ? m - row : kRowsAtOnce;
      CodedRow part[kRowsAtOnce];
      for (int r = 0; r < rows; ++r)
        part[r] = {x[row + r].codes + first, x[row + r].scales + first / 16, x[row + r].sums + first / 16};
      for (int j = 0; j < n; j += 16)
        multiply_tile<T>(tile_at(j) + offset, inputs, part, rows, y + row * y_stride + j, y_stride,
                         accumulate || first > 0);
    }
  }
}

template <class T>
constexpr auto interleaved_dot_or_none() -> decltype(StoredKernels::dot_interleaved) {
  if constexpr (kTiled<T>.run_values > 0)
    return interleaved_dot<T>;
  else
    return nullptr;
}
template <class T>
constexpr auto make_tile_or_none() -> decltype(StoredKernels::interleave) {
  if constexpr (kTiled<T>.run_values > 0)
    return make_tile<T>;
  else
    return nullptr;
}

}  // namespace hadal::HADAL_SIMD_NAMESPACE
