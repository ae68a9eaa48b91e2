// From floats to the blocks of GGUF (kernels/quantiser.h says how; block_types.inl has the way back). Sixteen runs of
// 16 or 32 values are searched at once, one in each lane: no sum goes across lanes, and where runs differ a value is
// selected. Included by simd/isa_*.cc.

namespace hadal::HADAL_SIMD_NAMESPACE {

// --- the best scale and minimum of a run -----------------------------------------------------------------------------

// Values and the weights of their errors: lane r has run r.
template <int N>
struct Runs {
  f32x16 x[N], w[N];
};

// `count` runs one after another; lanes of further ones repeat the last.
template <int N>
HADAL_INLINE void to_lanes(const float* from, int count, f32x16 (&to)[N]) {
  for (int half = 0; half < N; half += 16) {
    f32x16 rows[16];
    for (int r = 0; r < 16; ++r) rows[r] = load(from + (r < count ? r : count - 1) * N + half);
    transpose(rows);
    for (int i = 0; i < 16; ++i) to[half + i] = rows[i];
  }
}
template <int N>
HADAL_INLINE Runs<N> runs_of(const float* x, const float* w, int count) {
  Runs<N> runs;
  to_lanes<N>(x, count, runs.x);
  to_lanes<N>(w, count, runs.w);
  return runs;
}

// 1 / scale, or 0 where that would not be finite.
HADAL_INLINE f32x16 inverse_of(f32x16 scale) {
  const f32x16 magnitude = max(scale, sub(zero(), scale));
  return where_less(magnitude, set1(0x1p-126f), zero(), div(set1(1.0f), scale));
}

template <int kLow, int kHigh>
HADAL_INLINE f32x16 nearest_code(f32x16 x) {
  return min(max(round_even(x), set1(kLow)), set1(kHigh));
}

struct Line {
  f32x16 scale, minimum;  // value = scale * code + minimum
};
HADAL_INLINE Line where_less(f32x16 a, f32x16 b, const Line& yes, const Line& no) {
  return {where_less(a, b, yes.scale, no.scale), where_less(a, b, yes.minimum, no.minimum)};
}

// The code of x is nearest_code(fma(x, inverse, shift)).
struct LineInverse {
  f32x16 inverse, shift;
};
HADAL_INLINE LineInverse inverse_of(const Line& line) {
  const f32x16 inverse = inverse_of(line.scale);
  return {inverse, mul(sub(zero(), line.minimum), inverse)};
}

// Weighted squared error on a line with codes from 0 to kTop.
template <int N, int kTop>
HADAL_INLINE f32x16 line_error(const Runs<N>& runs, const Line& line) {
  const LineInverse to = inverse_of(line);
  f32x16 error = zero();
  for (int i = 0; i < N; ++i) {
    const f32x16 code = nearest_code<0, kTop>(fma(runs.x[i], to.inverse, to.shift));
    const f32x16 d = fma(line.scale, code, sub(line.minimum, runs.x[i]));
    error = fma(mul(runs.w[i], d), d, error);
  }
  return error;
}

struct WeightedSums {
  f32x16 w = zero(), wx = zero(), wxx = zero();
};
template <int N>
HADAL_INLINE WeightedSums sums_of(const Runs<N>& runs) {
  WeightedSums sums;
  for (int i = 0; i < N; ++i) {
    const f32x16 wx = mul(runs.w[i], runs.x[i]);
    sums.w = add(sums.w, runs.w[i]);
    sums.wx = add(sums.wx, wx);
    sums.wxx = fma(wx, runs.x[i], sums.wxx);
  }
  return sums;
}

struct LineFit {
  Line line;
  f32x16 error;  // with the codes it was fitted to: those nearest to it may be better still
};
// The best line for the codes that `line` gives; with kNegative its minimum is at most zero.
template <int N, int kTop, bool kNegative>
HADAL_INLINE LineFit improved(const Runs<N>& runs, const WeightedSums& sums, const Line& line) {
  const LineInverse to = inverse_of(line);
  f32x16 c = zero(), cc = zero(), xc = zero();
  for (int i = 0; i < N; ++i) {
    const f32x16 code = nearest_code<0, kTop>(fma(runs.x[i], to.inverse, to.shift)), wc = mul(runs.w[i], code);
    c = add(c, wc);
    cc = fma(wc, code, cc);
    xc = fma(wc, runs.x[i], xc);
  }
  const f32x16 determinant = sub(mul(sums.w, cc), mul(c, c));
  Line best{div(sub(mul(sums.w, xc), mul(sums.wx, c)), determinant),
            div(sub(mul(cc, sums.wx), mul(c, xc)), determinant)};
  if (kNegative) best = where_less(zero(), best.minimum, Line{div(xc, cc), zero()}, best);
  // Codes that are all alike have no best line.
  best = where_less(zero(), determinant, where_less(zero(), best.scale, best, line), line);
  const f32x16 s = best.scale, m = best.minimum, two = set1(2.0f);
  const f32x16 products = fma(s, xc, mul(m, sums.wx));
  const f32x16 squares = fma(s, fma(s, cc, mul(two, mul(m, c))), mul(m, mul(m, sums.w)));
  return {best, add(sub(sums.wxx, mul(two, products)), squares)};
}

// Codes 0 to kTop between the extremes, or a little inside or beyond them.
template <int N, int kTop, bool kNegative>
HADAL_INLINE Line best_line(const Runs<N>& runs) {
  f32x16 low = runs.x[0], high = runs.x[0];
  for (int i = 1; i < N; ++i) {
    low = min(low, runs.x[i]);
    high = max(high, runs.x[i]);
  }
  if (kNegative) low = min(low, zero());
  const WeightedSums sums = sums_of<N>(runs);
  constexpr int kSteps = kTop <= 3 ? 8 : 6;  // three are a fifth faster, and err 0.4 % more in Q4_K
  const auto fit_at = [&](int step) {
    const float stretch = -1.0f + 2.0f * static_cast<float>(step) / kSteps;  // of the number of codes
    return improved<N, kTop, kNegative>(runs, sums,
                                        {div(sub(high, low), set1(static_cast<float>(kTop) + stretch)), low});
  };
  LineFit best = fit_at(0);
  for (int step = 1; step <= kSteps; ++step) {
    const LineFit fit = fit_at(step);
    best.line = where_less(fit.error, best.error, fit.line, best.line);
    best.error = min(fit.error, best.error);
  }
  return improved<N, kTop, kNegative>(runs, sums, best.line).line;
}

// Weighted squared error with codes from kLow to kHigh around zero.
template <int N, int kLow, int kHigh>
HADAL_INLINE f32x16 scale_error(const Runs<N>& runs, f32x16 scale) {
  const f32x16 inverse = inverse_of(scale);
  f32x16 error = zero();
  for (int i = 0; i < N; ++i) {
    const f32x16 d = fma(scale, nearest_code<kLow, kHigh>(mul(runs.x[i], inverse)), sub(zero(), runs.x[i]));
    error = fma(mul(runs.w[i], d), d, error);
  }
  return error;
}

struct ScaleFit {
  f32x16 scale, gain;  // gain: how much less the weighted squared error is than that of zeros
};
// The best scale for the codes from kLow to kHigh that `scale` gives.
template <int N, int kLow, int kHigh>
HADAL_INLINE ScaleFit improved_scale(const Runs<N>& runs, f32x16 scale) {
  const f32x16 inverse = inverse_of(scale);
  f32x16 cc = zero(), xc = zero();
  for (int i = 0; i < N; ++i) {
    const f32x16 code = nearest_code<kLow, kHigh>(mul(runs.x[i], inverse)), wc = mul(runs.w[i], code);
    cc = fma(wc, code, cc);
    xc = fma(wc, runs.x[i], xc);
  }
  const f32x16 best = div(xc, cc);
  return {where_less(zero(), cc, best, scale), where_less(zero(), cc, mul(xc, best), zero())};
}

// The value furthest from zero at the lowest code, which is one further, or at the highest; or a little inside or
// beyond.
template <int N, int kLow, int kHigh>
HADAL_INLINE f32x16 best_scale(const Runs<N>& runs) {
  f32x16 low = runs.x[0], high = runs.x[0];
  for (int i = 1; i < N; ++i) {
    low = min(low, runs.x[i]);
    high = max(high, runs.x[i]);
  }
  const f32x16 extreme = where_less(high, sub(zero(), low), low, high);
  constexpr int kSteps = kHigh <= 3 ? 8 : 4;
  const auto fit_at = [&](int end, int step) {
    const float stretch = -1.0f + 2.0f * static_cast<float>(step) / kSteps;
    return improved_scale<N, kLow, kHigh>(runs, div(extreme, set1(static_cast<float>(end) + stretch)));
  };
  ScaleFit best{zero(), zero()};
  for (int i = 0; i < 2 * (kSteps + 1); ++i) {
    const ScaleFit fit = fit_at(i <= kSteps ? kLow : kHigh, i % (kSteps + 1));
    best.scale = where_less(best.gain, fit.gain, fit.scale, best.scale);
    best.gain = max(best.gain, fit.gain);
  }
  return improved_scale<N, kLow, kHigh>(runs, best.scale).scale;
}

// --- codes into bytes ------------------------------------------------------------------------------------------------

HADAL_INLINE void put_half(std::byte* to, float x) {
  const std::uint16_t bits = half_bits(x);
  std::memcpy(to, &bits, 2);
}
HADAL_INLINE float rounded_to_half(float x) {
  std::byte bits[2];
  put_half(bits, x);
  return half_at(bits);
}
// What multiples up to kTop are of. Halves below 2^-14 are 2^-24 apart: where kTop times what is lost would be more
// than half a multiple, the next half away from zero is taken. Smaller multiples make up for a step that is too large,
// nothing for one that is too small, or zero.
template <int kTop>
HADAL_INLINE float step_in_half(float x) {
  const float nearest = rounded_to_half(x), magnitude = x < 0 ? -x : x;
  const bool falls_short = (x < 0 ? -nearest : nearest) < magnitude;
  return magnitude < kTop * 0x1p-24f && falls_short ? nearest + (x < 0 ? -0x1p-24f : 0x1p-24f) : nearest;
}
HADAL_INLINE float inverse_of(float x) {
  return x < 0x1p-126f && x > -0x1p-126f ? 0.0f : 1.0f / x;
}

// Codes of n values, a multiple of 16, minus kLow.
template <int kLow, int kHigh>
HADAL_INLINE void put_codes(const float* x, int n, float scale, float minimum, std::uint8_t* codes) {
  const float inverse = inverse_of(scale);
  for (int i = 0; i < n; i += 16) {
    const f32x16 code = nearest_code<kLow, kHigh>(fma(load(x + i), set1(inverse), set1(-minimum * inverse)));
    store_signed(reinterpret_cast<std::int8_t*>(codes + i), sub(code, set1(kLow)));
  }
}

// Sixteen bytes: values 0 to 15 in their low nibbles, 16 to 31 in the high ones; and the fifth bits where wanted.
HADAL_INLINE void put_nibbles_of_32(const std::uint8_t* codes, std::byte* nibbles, std::byte* fifth) {
  for (int i = 0; i < 16; ++i) nibbles[i] = static_cast<std::byte>((codes[i] & 15) | (codes[i + 16] & 15) << 4);
  if (!fifth) return;
  std::uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) bits |= static_cast<std::uint32_t>(codes[i] >> 4 & 1) << i;
  std::memcpy(fifth, &bits, 4);
}

// Per 64 values 32 bytes: the first 32 in the low nibbles, the others in the high ones.
HADAL_INLINE void put_nibbles_of_64(const std::uint8_t* codes, std::byte* out) {
  for (int part = 0; part < 4; ++part, codes += 64, out += 32)
    for (int i = 0; i < 32; ++i) out[i] = static_cast<std::byte>((codes[i] & 15) | (codes[i + 32] & 15) << 4);
}

// Two bits a value: byte i of a half holds values i, i + 32, i + 64 and i + 96 of it.
HADAL_INLINE void put_pairs_of_bits(const std::uint8_t* codes, std::byte* out) {
  for (int half = 0; half < 2; ++half, codes += 128, out += 32)
    for (int i = 0; i < 32; ++i)
      out[i] = static_cast<std::byte>((codes[i] & 3) | (codes[i + 32] & 3) << 2 | (codes[i + 64] & 3) << 4 |
                                      (codes[i + 96] & 3) << 6);
}

// One bit a value: bit j of byte i is bit kBit of code 32 j + i.
template <int kBit>
HADAL_INLINE void put_bits(const std::uint8_t* codes, std::byte* out) {
  std::uint8_t bits[32] = {};
  for (int j = 0; j < 8; ++j)
    for (int i = 0; i < 32; ++i) bits[i] = static_cast<std::uint8_t>(bits[i] | (codes[32 * j + i] >> kBit & 1) << j);
  std::memcpy(out, bits, 32);
}

// Eight scales and eight minima of six bits in twelve bytes.
HADAL_INLINE void put_six_bits(const int* scales, const int* minima, std::byte* out) {
  std::uint8_t s[12];
  for (int j = 0; j < 4; ++j) {
    s[j] = static_cast<std::uint8_t>(scales[j] | (scales[j + 4] >> 4) << 6);
    s[j + 4] = static_cast<std::uint8_t>(minima[j] | (minima[j + 4] >> 4) << 6);
    s[j + 8] = static_cast<std::uint8_t>((scales[j + 4] & 15) | (minima[j + 4] & 15) << 4);
  }
  std::memcpy(out, s, 12);
}

// --- blocks of 32, sixteen at once -----------------------------------------------------------------------------------

HADAL_INLINE void quantise_blocks(Q80, const float* x, const float*, int count, std::byte* out) {
  for (int b = 0; b < count; ++b, x += 32, out += Q80::kBlockBytes) {
    const f32x16 first = load(x), second = load(x + 16);
    const float top = reduce_max(max(max(first, second), sub(zero(), min(first, second)))),
                d = step_in_half<127>(top / 127.0f);
    put_half(out, d);
    const f32x16 inverse = set1(inverse_of(d));
    store_signed(reinterpret_cast<std::int8_t*>(out + 2), nearest_code<-127, 127>(mul(first, inverse)));
    store_signed(reinterpret_cast<std::int8_t*>(out + 18), nearest_code<-127, 127>(mul(second, inverse)));
  }
}

// Four or five bits around zero, one scale.
template <class T, int kLow, int kHigh>
HADAL_INLINE void quantise_around_zero(const float* x, const float* w, int count, std::byte* out) {
  constexpr bool kFifth = kHigh > 7;
  float scales[16];
  store(scales, best_scale<32, kLow, kHigh>(runs_of<32>(x, w, count)));
  for (int b = 0; b < count; ++b, x += 32, out += T::kBlockBytes) {
    std::uint8_t codes[32];
    put_codes<kLow, kHigh>(x, 32, rounded_to_half(scales[b]), 0, codes);
    put_half(out, scales[b]);
    put_nibbles_of_32(codes, out + (kFifth ? 6 : 2), kFifth ? out + 2 : nullptr);
  }
}
HADAL_INLINE void quantise_blocks(Q40, const float* x, const float* w, int count, std::byte* out) {
  quantise_around_zero<Q40, -8, 7>(x, w, count, out);
}
HADAL_INLINE void quantise_blocks(Q50, const float* x, const float* w, int count, std::byte* out) {
  quantise_around_zero<Q50, -16, 15>(x, w, count, out);
}

// Four or five bits, a scale and a minimum.
template <class T, int kTop>
HADAL_INLINE void quantise_on_a_line(const float* x, const float* w, int count, std::byte* out) {
  constexpr bool kFifth = kTop > 15;
  float scales[16], minima[16];
  const Line lines = best_line<32, kTop, false>(runs_of<32>(x, w, count));
  store(scales, lines.scale);
  store(minima, lines.minimum);
  for (int b = 0; b < count; ++b, x += 32, out += T::kBlockBytes) {
    std::uint8_t codes[32];
    put_codes<0, kTop>(x, 32, rounded_to_half(scales[b]), rounded_to_half(minima[b]), codes);
    put_half(out, scales[b]);
    put_half(out + 2, minima[b]);
    put_nibbles_of_32(codes, out + (kFifth ? 8 : 4), kFifth ? out + 4 : nullptr);
  }
}
HADAL_INLINE void quantise_blocks(Q41, const float* x, const float* w, int count, std::byte* out) {
  quantise_on_a_line<Q41, 15>(x, w, count, out);
}
HADAL_INLINE void quantise_blocks(Q51, const float* x, const float* w, int count, std::byte* out) {
  quantise_on_a_line<Q51, 31>(x, w, count, out);
}

// --- blocks of 256 with scales and minima ----------------------------------------------------------------------------

// Sixteen runs of N values: two blocks of 256, or one. Their scales and minima are whole numbers up to kTopScale times
// two half-precision numbers of the block.
template <int N, int kTop, int kTopScale>
struct LineBlocks {
  static constexpr int kRuns = 256 / N;  // of a block
  float d[16], dmin[16];                 // of each run's block
  int scales[16], minima[16];

  HADAL_INLINE LineBlocks(const float* x, const float* w, int blocks) {
    const Runs<N> runs = runs_of<N>(x, w, blocks * kRuns);
    const Line lines = best_line<N, kTop, true>(runs);
    float scale[16], minimum[16];
    store(scale, lines.scale);
    store(minimum, lines.minimum);
    for (int first = 0; first < 16; first += kRuns) {
      float top_scale = 0, top_minimum = 0;
      for (int r = first; r < first + kRuns; ++r) {
        top_scale = scale[r] > top_scale ? scale[r] : top_scale;
        top_minimum = -minimum[r] > top_minimum ? -minimum[r] : top_minimum;
      }
      for (int r = first; r < first + kRuns; ++r) {
        d[r] = step_in_half<kTopScale>(top_scale / kTopScale);
        dmin[r] = step_in_half<kTopScale>(top_minimum / kTopScale);
      }
    }
    choose(runs, lines);
  }

  // Codes of all runs of block b.
  HADAL_INLINE void put_codes_of(int b, const float* x, std::uint8_t* codes) const {
    for (int r = b * kRuns; r < (b + 1) * kRuns; ++r)
      put_codes<0, kTop>(x + r * N, N, d[r] * static_cast<float>(scales[r]), -dmin[r] * static_cast<float>(minima[r]),
                         codes + (r - b * kRuns) * N);
  }

 private:
  // The nearest scale with the minima around it, then the best of these with the scales around it. Values so far below
  // the block's others that they have no scale may be better off without a minimum too.
  HADAL_INLINE void choose(const Runs<N>& runs, const Line& lines) {
    const f32x16 ds = load(d), dmins = load(dmin), one = set1(1.0f);
    const auto in_range = [](f32x16 x) { return nearest_code<0, kTopScale>(x); };
    const auto error_of = [&](f32x16 s, f32x16 m) {
      return line_error<N, kTop>(runs, {mul(ds, s), sub(zero(), mul(dmins, m))});
    };
    f32x16 scale = in_range(mul(lines.scale, inverse_of(ds))),
           minimum = in_range(mul(sub(zero(), lines.minimum), inverse_of(dmins)));
    f32x16 least = error_of(scale, minimum);
    const auto attempt = [&](f32x16 s, f32x16 m) {
      const f32x16 error = error_of(s, m);
      scale = where_less(error, least, s, scale);
      minimum = where_less(error, least, m, minimum);
      least = min(error, least);
    };
    const f32x16 nearest_minimum = minimum;
    attempt(scale, in_range(sub(nearest_minimum, one)));
    attempt(scale, in_range(add(nearest_minimum, one)));
    if (reduce_max(sub(zero(), scale)) >= 0) attempt(scale, where_less(zero(), scale, minimum, zero()));
    const f32x16 nearest_scale = scale;
    attempt(in_range(sub(nearest_scale, one)), minimum);
    attempt(in_range(add(nearest_scale, one)), minimum);
    float found[16];
    store(found, scale);
    for (int r = 0; r < 16; ++r) scales[r] = static_cast<int>(found[r]);
    store(found, minimum);
    for (int r = 0; r < 16; ++r) minima[r] = static_cast<int>(found[r]);
  }
};

// What Q4_K and Q5_K share; `put` writes the codes behind scales.
template <class T, int kTop, class Put>
HADAL_INLINE void quantise_lines_of_32(const float* x, const float* w, int count, std::byte* out, Put put) {
  const LineBlocks<32, kTop, 63> found(x, w, count);
  for (int b = 0; b < count; ++b, out += T::kBlockBytes) {
    std::uint8_t codes[256];
    found.put_codes_of(b, x, codes);
    put_half(out, found.d[8 * b]);
    put_half(out + 2, found.dmin[8 * b]);
    put_six_bits(found.scales + 8 * b, found.minima + 8 * b, out + 4);
    put(codes, out + 16);
  }
}
HADAL_INLINE void quantise_blocks(Q4K, const float* x, const float* w, int count, std::byte* out) {
  quantise_lines_of_32<Q4K, 15>(x, w, count, out, put_nibbles_of_64);
}
HADAL_INLINE void quantise_blocks(Q5K, const float* x, const float* w, int count, std::byte* out) {
  quantise_lines_of_32<Q5K, 31>(x, w, count, out, [](const std::uint8_t* codes, std::byte* to) {
    put_bits<4>(codes, to);
    put_nibbles_of_64(codes, to + 32);
  });
}

HADAL_INLINE void quantise_blocks(Q2K, const float* x, const float* w, int, std::byte* out) {
  const LineBlocks<16, 3, 15> found(x, w, 1);
  std::uint8_t codes[256];
  found.put_codes_of(0, x, codes);
  for (int r = 0; r < 16; ++r) out[r] = static_cast<std::byte>(found.scales[r] | found.minima[r] << 4);
  put_pairs_of_bits(codes, out + 16);
  put_half(out + 80, found.d[0]);
  put_half(out + 82, found.dmin[0]);
}

// --- blocks of 256 with signed scales --------------------------------------------------------------------------------

// Sixteen runs of sixteen whose scales are whole numbers from kLowScale up, times one in half precision.
template <int kLow, int kHigh, int kLowScale>
struct ScaleBlock {
  static constexpr int kHighScale = -kLowScale - 1;
  float d;
  int scales[16];
  std::uint8_t codes[256];

  HADAL_INLINE ScaleBlock(const float* x, const float* w) {
    const Runs<16> runs = runs_of<16>(x, w, 16);
    const f32x16 best = best_scale<16, kLow, kHigh>(runs);
    const float top = reduce_max(best), bottom = -reduce_max(sub(zero(), best));
    // The largest at the code that reaches furthest.
    d = step_in_half<-kLowScale>((top < -bottom ? bottom : top) / kLowScale);
    const auto in_range = [](f32x16 s) { return nearest_code<kLowScale, kHighScale>(s); };
    const auto error_of = [&](f32x16 s) { return scale_error<16, kLow, kHigh>(runs, mul(set1(d), s)); };
    const f32x16 nearest = in_range(mul(best, set1(inverse_of(d))));
    f32x16 scale = nearest, least = error_of(nearest);
    for (int step = -1; step <= 1; step += 2) {
      const f32x16 s = in_range(add(nearest, set1(static_cast<float>(step)))), error = error_of(s);
      scale = where_less(error, least, s, scale);
      least = min(error, least);
    }
    float found[16];
    store(found, scale);
    for (int r = 0; r < 16; ++r) {
      scales[r] = static_cast<int>(found[r]);
      put_codes<kLow, kHigh>(x + 16 * r, 16, d * found[r], 0, codes + 16 * r);
    }
  }
};

HADAL_INLINE void quantise_blocks(Q3K, const float* x, const float* w, int, std::byte* out) {
  const ScaleBlock<-4, 3, -32> found(x, w);
  put_bits<2>(found.codes, out);
  put_pairs_of_bits(found.codes, out + 32);
  std::uint8_t packed[12] = {};
  for (int r = 0; r < 16; ++r) {
    const int scale = found.scales[r] + 32;
    packed[r % 8] = static_cast<std::uint8_t>(packed[r % 8] | (scale & 15) << r / 8 * 4);
    packed[8 + r % 4] = static_cast<std::uint8_t>(packed[8 + r % 4] | (scale >> 4) << r / 4 * 2);
  }
  std::memcpy(out + 96, packed, 12);
  put_half(out + 108, found.d);
}

HADAL_INLINE void quantise_blocks(Q6K, const float* x, const float* w, int, std::byte* out) {
  const ScaleBlock<-32, 31, -128> found(x, w);
  for (int half = 0; half < 2; ++half) {
    const std::uint8_t* codes = found.codes + 128 * half;
    std::byte* low = out + 64 * half;
    std::uint8_t high[128];
    for (int i = 0; i < 64; ++i) low[i] = static_cast<std::byte>((codes[i] & 15) | (codes[i + 64] & 15) << 4);
    for (int i = 0; i < 128; ++i) high[i] = codes[i] >> 4;
    for (int i = 0; i < 32; ++i)
      out[128 + 32 * half + i] =
          static_cast<std::byte>(high[i] | high[i + 32] << 2 | high[i + 64] << 4 | high[i + 96] << 6);
  }
  for (int r = 0; r < 16; ++r) out[192 + r] = static_cast<std::byte>(found.scales[r]);
  put_half(out + 208, found.d);
}

// --- by type ---------------------------------------------------------------------------------------------------------

template <class T>
inline constexpr int kRunValues = 32;
template <>
inline constexpr int kRunValues<Q2K> = 16;
template <>
inline constexpr int kRunValues<Q3K> = 16;
template <>
inline constexpr int kRunValues<Q6K> = 16;

template <class T>
void quantise(const float* x, const float* w, std::size_t n, std::byte* out) {
  constexpr int kBlocks = 16 * kRunValues<T> / T::kBlockValues;  // as many as sixteen lanes take
  float equal[512];
  for (float& each : equal) each = 1.0f;
  for (std::size_t blocks = n / T::kBlockValues; blocks > 0;) {
    const int count = blocks < kBlocks ? static_cast<int>(blocks) : kBlocks;
    quantise_blocks(T{}, x, w ? w : equal, count, out);
    blocks -= static_cast<std::size_t>(count);
    x += count * T::kBlockValues;
    if (w) w += count * T::kBlockValues;
    out += count * T::kBlockBytes;
  }
}

}  // namespace hadal::HADAL_SIMD_NAMESPACE
