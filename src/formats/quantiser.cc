#include "formats/quantiser.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"
#include "base/f16.h"

// The searches are loops over 16 or 32 floats: worth the widest vectors of the machine. Sanitizers do not know the
// mechanism.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || defined(__clang__)
#define HADAL_CLONES
#else
#define HADAL_CLONES __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#endif

namespace hadal {
namespace {

#define HADAL_FLAT inline __attribute__((always_inline))

// To the nearest whole number, ties to even; |x| below 2^22.
HADAL_FLAT float rounded(float x) {
  constexpr float kShift = 12582912.0f;
  return (x + kShift) - kShift;
}
HADAL_FLAT float clamped(float x, float low, float high) {
  return std::min(std::max(x, low), high);
}

// Sums that vectors can keep apart: eight lanes, then a tree.
template <int N, class F>
HADAL_FLAT float sum_of(F&& term) {
  float lanes[8] = {};
  for (int i = 0; i < N; i += 8)
    for (int l = 0; l < 8; ++l) lanes[l] += term(i + l);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

struct Line {
  float scale = 0, minimum = 0;  // value = scale * code + minimum
};

// Weighted error of N values on a line with codes from 0 to kTop.
template <int N, int kTop>
HADAL_FLAT float line_error(const float* x, const float* w, Line line) {
  const float inverse = line.scale != 0 ? 1 / line.scale : 0;
  return sum_of<N>([&](int i) {
    const float code = clamped(rounded((x[i] - line.minimum) * inverse), 0, kTop);
    const float d = line.scale * code + line.minimum - x[i];
    return w[i] * d * d;
  });
}

struct Sums {
  float w, wx, wxx;
};
template <int N>
HADAL_FLAT Sums sums_of(const float* x, const float* w) {
  return {sum_of<N>([&](int i) { return w[i]; }), sum_of<N>([&](int i) { return w[i] * x[i]; }),
          sum_of<N>([&](int i) { return w[i] * x[i] * x[i]; })};
}

struct Fit {
  Line line;
  float error = 0;  // with the codes it was fitted to: those nearest to it may be better still
};
// The best line for the codes that `line` gives; with kNegative its minimum is at most zero.
template <int N, int kTop, bool kNegative>
HADAL_FLAT Fit improved(const float* x, const float* w, Sums sums, Line line) {
  const float inverse = line.scale != 0 ? 1 / line.scale : 0;
  float codes[N];
  for (int i = 0; i < N; ++i) codes[i] = clamped(rounded((x[i] - line.minimum) * inverse), 0, kTop);
  const float sw = sums.w, sx = sums.wx, sc = sum_of<N>([&](int i) { return w[i] * codes[i]; }),
              scc = sum_of<N>([&](int i) { return w[i] * codes[i] * codes[i]; }),
              sxc = sum_of<N>([&](int i) { return w[i] * x[i] * codes[i]; });
  const float determinant = sw * scc - sc * sc;
  Line better{(sw * sxc - sx * sc) / determinant, (scc * sx - sc * sxc) / determinant};
  if (kNegative && better.minimum > 0) better = {scc > 0 ? sxc / scc : 0, 0};
  if (!(determinant > 0) || !(better.scale > 0)) return {line, line_error<N, kTop>(x, w, line)};
  return {better, sums.wxx - better.scale * sxc - better.minimum * sx};
}

// Codes 0 to kTop between the extremes, or a little inside or beyond them.
template <int N, int kTop, bool kNegative>
HADAL_FLAT Line best_line(const float* x, const float* w) {
  float low = x[0], high = x[0];
  for (int i = 1; i < N; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  if (kNegative) low = std::min(low, 0.0f);
  if (!(high > low)) return {0, low};
  const Sums sums = sums_of<N>(x, w);
  Fit best;
  constexpr int kSteps = kTop <= 3 ? 8 : 3;  // twice as many take twice as long and gain half a percent
  for (int step = 0; step <= kSteps; ++step) {
    const float stretch = -1.0f + 2.0f * static_cast<float>(step) / kSteps;  // of the number of codes
    const Fit fit =
        improved<N, kTop, kNegative>(x, w, sums, {(high - low) / (static_cast<float>(kTop) + stretch), low});
    if (step == 0 || fit.error < best.error) best = fit;
  }
  return improved<N, kTop, kNegative>(x, w, sums, best.line).line;
}

// Weighted error with codes from kLow to kHigh around zero.
template <int N, int kLow, int kHigh>
HADAL_FLAT float scale_error(const float* x, const float* w, float scale) {
  const float inverse = scale != 0 ? 1 / scale : 0;
  return sum_of<N>([&](int i) {
    const float d = scale * clamped(rounded(x[i] * inverse), kLow, kHigh) - x[i];
    return w[i] * d * d;
  });
}

struct ScaleFit {
  float scale = 0, gain = 0;  // gain: how much less the weighted error is than that of zeros
};
// The best scale for the codes from kLow to kHigh that `scale` gives.
template <int N, int kLow, int kHigh>
HADAL_FLAT ScaleFit improved_scale(const float* x, const float* w, float scale) {
  const float inverse = scale != 0 ? 1 / scale : 0;
  float codes[N];
  for (int i = 0; i < N; ++i) codes[i] = clamped(rounded(x[i] * inverse), kLow, kHigh);
  const float scc = sum_of<N>([&](int i) { return w[i] * codes[i] * codes[i]; }),
              sxc = sum_of<N>([&](int i) { return w[i] * x[i] * codes[i]; });
  if (!(scc > 0)) return {scale, 0};
  return {sxc / scc, sxc * sxc / scc};
}

template <int N, int kLow, int kHigh>
HADAL_FLAT float best_scale(const float* x, const float* w) {
  float extreme = 0;
  for (int i = 0; i < N; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  if (extreme == 0) return 0;
  ScaleFit best;
  constexpr int kSteps = kHigh <= 3 ? 8 : 4;
  for (int side = 0; side < 2; ++side) {  // the extreme at the lowest code, which is one further, or at the highest
    const float end = side == 0 ? static_cast<float>(kLow) : static_cast<float>(kHigh);
    for (int step = 0; step <= kSteps; ++step) {
      const float stretch = -1.0f + 2.0f * static_cast<float>(step) / kSteps;
      const ScaleFit fit = improved_scale<N, kLow, kHigh>(x, w, extreme / (end + stretch));
      if ((side == 0 && step == 0) || fit.gain > best.gain) best = fit;
    }
  }
  return improved_scale<N, kLow, kHigh>(x, w, best.scale).scale;
}

float half_of(float x) {
  return to_float(to_f16(x));
}
void put_half(std::byte* to, float x) {
  const f16 half = to_f16(x);
  std::memcpy(to, &half, sizeof(half));
}
// A half-precision number that is not zero where x is not.
float scale_in_half(float x) {
  return half_of(x);
}

template <int N>
HADAL_FLAT void line_codes(const float* x, Line line, int top, std::uint8_t* codes) {
  const float inverse = line.scale != 0 ? 1 / line.scale : 0;
  for (int i = 0; i < N; ++i)
    codes[i] = static_cast<std::uint8_t>(clamped(rounded((x[i] - line.minimum) * inverse), 0, static_cast<float>(top)));
}

// Sixteen bytes: values 0 to 15 in their low nibbles, 16 to 31 in the high ones; and the fifth bits.
void put_nibbles(const std::uint8_t* codes, std::byte* nibbles, std::byte* fifth) {
  for (int i = 0; i < 16; ++i) nibbles[i] = static_cast<std::byte>((codes[i] & 15) | (codes[i + 16] & 15) << 4);
  if (!fifth) return;
  std::uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) bits |= static_cast<std::uint32_t>(codes[i] >> 4 & 1) << i;
  std::memcpy(fifth, &bits, 4);
}

// --- blocks of 32 ----------------------------------------------------------------------------------------------------

HADAL_CLONES void q8_0(const float* x, const float*, std::byte* out) {
  float top = 0;
  for (int i = 0; i < 32; ++i) top = std::max(top, std::fabs(x[i]));
  const float d = top / 127, inverse = d > 0 ? 1 / d : 0;
  put_half(out, d);
  for (int i = 0; i < 32; ++i) {
    const auto code = static_cast<std::int8_t>(rounded(x[i] * inverse));
    std::memcpy(out + 2 + i, &code, 1);
  }
}

template <int kLow, int kHigh>
HADAL_FLAT void symmetric_32(const float* x, const float* w, std::uint8_t* codes, float& d) {
  d = scale_in_half(best_scale<32, kLow, kHigh>(x, w));
  const float inverse = d != 0 ? 1 / d : 0;
  for (int i = 0; i < 32; ++i)
    codes[i] = static_cast<std::uint8_t>(clamped(rounded(x[i] * inverse), kLow, kHigh) - kLow);
}

HADAL_CLONES void q4_0(const float* x, const float* w, std::byte* out) {
  std::uint8_t codes[32];
  float d;
  symmetric_32<-8, 7>(x, w, codes, d);
  put_half(out, d);
  put_nibbles(codes, out + 2, nullptr);
}

HADAL_CLONES void q5_0(const float* x, const float* w, std::byte* out) {
  std::uint8_t codes[32];
  float d;
  symmetric_32<-16, 15>(x, w, codes, d);
  put_half(out, d);
  put_nibbles(codes, out + 6, out + 2);
}

HADAL_CLONES void q4_1(const float* x, const float* w, std::byte* out) {
  std::uint8_t codes[32];
  Line line = best_line<32, 15, false>(x, w);
  line = {half_of(line.scale), half_of(line.minimum)};
  line_codes<32>(x, line, 15, codes);
  put_half(out, line.scale);
  put_half(out + 2, line.minimum);
  put_nibbles(codes, out + 4, nullptr);
}

HADAL_CLONES void q5_1(const float* x, const float* w, std::byte* out) {
  std::uint8_t codes[32];
  Line line = best_line<32, 31, false>(x, w);
  line = {half_of(line.scale), half_of(line.minimum)};
  line_codes<32>(x, line, 31, codes);
  put_half(out, line.scale);
  put_half(out + 2, line.minimum);
  put_nibbles(codes, out + 8, out + 4);
}

// --- blocks of 256 with scales and minima ----------------------------------------------------------------------------

// kRuns lines of N values whose scales and minima are whole numbers up to kTopScale times two numbers in half
// precision.
template <int N, int kTop, int kTopScale>
struct LinesBlock {
  static constexpr int kRuns = 256 / N;
  float d = 0, dmin = 0;
  int scales[kRuns] = {}, minima[kRuns] = {};

  HADAL_FLAT Line line(int run) const { return line(scales[run], minima[run]); }
  HADAL_FLAT Line line(int scale, int minimum) const {
    return {d * static_cast<float>(scale), -dmin * static_cast<float>(minimum)};
  }

  HADAL_FLAT void fit(const float* x, const float* w) {
    Line lines[kRuns];
    float top_scale = 0, top_minimum = 0;
    for (int r = 0; r < kRuns; ++r) {
      lines[r] = best_line<N, kTop, true>(x + r * N, w + r * N);
      top_scale = std::max(top_scale, lines[r].scale);
      top_minimum = std::max(top_minimum, -lines[r].minimum);
    }
    d = half_of(top_scale / kTopScale);
    dmin = half_of(top_minimum / kTopScale);
    for (int r = 0; r < kRuns; ++r) {
      const int scale = d > 0 ? nearest(lines[r].scale / d) : 0,
                minimum = dmin > 0 ? nearest(-lines[r].minimum / dmin) : 0;
      best_neighbours(x + r * N, w + r * N, scale, minimum, r);
    }
  }

 private:
  static int nearest(float x) { return std::clamp(static_cast<int>(rounded(x)), 0, kTopScale); }

  // The nearest scale with the minima around it, then the best of these with the scales around it.
  HADAL_FLAT void best_neighbours(const float* x, const float* w, int scale, int minimum, int run) {
    scales[run] = scale;
    minima[run] = minimum;
    float best = line_error<N, kTop>(x, w, line(scale, minimum));
    const auto attempt = [&](int s, int m) {
      if (s < 0 || m < 0 || s > kTopScale || m > kTopScale) return;
      const float error = line_error<N, kTop>(x, w, line(s, m));
      if (error >= best) return;
      best = error;
      scales[run] = s;
      minima[run] = m;
    };
    attempt(scale, minimum - 1);
    attempt(scale, minimum + 1);
    const int chosen = minima[run];
    attempt(scale - 1, chosen);
    attempt(scale + 1, chosen);
  }
};

// Eight scales and eight minima of six bits in twelve bytes.
void put_six_bits(const int* scales, const int* minima, std::byte* out) {
  std::uint8_t s[12] = {};
  for (int j = 0; j < 4; ++j) {
    s[j] = static_cast<std::uint8_t>(scales[j] | (scales[j + 4] >> 4) << 6);
    s[j + 4] = static_cast<std::uint8_t>(minima[j] | (minima[j + 4] >> 4) << 6);
    s[j + 8] = static_cast<std::uint8_t>((scales[j + 4] & 15) | (minima[j + 4] & 15) << 4);
  }
  std::memcpy(out, s, 12);
}

template <int kTop>
HADAL_FLAT void lines_of_32(const float* x, const float* w, std::byte* out, std::uint8_t* codes) {
  LinesBlock<32, kTop, 63> block;
  block.fit(x, w);
  put_half(out, block.d);
  put_half(out + 2, block.dmin);
  put_six_bits(block.scales, block.minima, out + 4);
  for (int r = 0; r < 8; ++r) line_codes<32>(x + 32 * r, block.line(r), kTop, codes + 32 * r);
}

// Per 64 values 32 bytes: the first 32 in the low nibbles, the others in the high ones.
void put_nibbles_of_64(const std::uint8_t* codes, std::byte* out) {
  for (int i = 0; i < 128; ++i) {
    const std::uint8_t* at = codes + i / 32 * 64 + i % 32;
    out[i] = static_cast<std::byte>((at[0] & 15) | (at[32] & 15) << 4);
  }
}

HADAL_CLONES void q4_k(const float* x, const float* w, std::byte* out) {
  std::uint8_t codes[256];
  lines_of_32<15>(x, w, out, codes);
  put_nibbles_of_64(codes, out + 16);
}

HADAL_CLONES void q5_k(const float* x, const float* w, std::byte* out) {
  std::uint8_t codes[256];
  lines_of_32<31>(x, w, out, codes);
  std::memset(out + 16, 0, 32);
  for (int i = 0; i < 256; ++i) out[16 + i % 32] |= static_cast<std::byte>((codes[i] >> 4) << i / 32);
  put_nibbles_of_64(codes, out + 48);
}

// Two bits a value: byte l of a half holds values l, l + 32, l + 64 and l + 96 of it.
void put_pairs_of_bits(const std::uint8_t* codes, std::byte* out) {
  for (int i = 0; i < 64; ++i) {
    const std::uint8_t* at = codes + i / 32 * 128 + i % 32;
    out[i] = static_cast<std::byte>((at[0] & 3) | (at[32] & 3) << 2 | (at[64] & 3) << 4 | (at[96] & 3) << 6);
  }
}

HADAL_CLONES void q2_k(const float* x, const float* w, std::byte* out) {
  LinesBlock<16, 3, 15> block;
  block.fit(x, w);
  std::uint8_t codes[256];
  for (int r = 0; r < 16; ++r) {
    out[r] = static_cast<std::byte>(block.scales[r] | block.minima[r] << 4);
    line_codes<16>(x + 16 * r, block.line(r), 3, codes + 16 * r);
  }
  put_pairs_of_bits(codes, out + 16);
  put_half(out + 80, block.d);
  put_half(out + 82, block.dmin);
}

// --- blocks of 256 with signed scales --------------------------------------------------------------------------------

// Sixteen runs of sixteen whose scales are whole numbers from kLowScale up, times one in half precision.
template <int kLow, int kHigh, int kLowScale>
struct ScalesBlock {
  static constexpr int kHighScale = -kLowScale - 1;
  float d = 0;
  int scales[16] = {};
  std::uint8_t codes[256] = {};

  HADAL_FLAT void fit(const float* x, const float* w) {
    float best[16], extreme = 0;
    for (int r = 0; r < 16; ++r) {
      best[r] = best_scale<16, kLow, kHigh>(x + 16 * r, w + 16 * r);
      if (std::fabs(best[r]) > std::fabs(extreme)) extreme = best[r];
    }
    d = half_of(extreme / kLowScale);  // the largest at the code that reaches furthest
    for (int r = 0; r < 16; ++r) {
      const int nearest = d != 0 ? std::clamp(static_cast<int>(rounded(best[r] / d)), kLowScale, kHighScale) : 0;
      float least = 0;
      bool first = true;
      for (int s = std::max(nearest - 1, kLowScale); s <= std::min(nearest + 1, kHighScale); ++s) {
        const float error = scale_error<16, kLow, kHigh>(x + 16 * r, w + 16 * r, d * static_cast<float>(s));
        if (first || error < least) {
          least = error;
          scales[r] = s;
          first = false;
        }
      }
      const float scale = d * static_cast<float>(scales[r]), inverse = scale != 0 ? 1 / scale : 0;
      for (int i = 16 * r; i < 16 * r + 16; ++i)
        codes[i] = static_cast<std::uint8_t>(clamped(rounded(x[i] * inverse), kLow, kHigh) - kLow);
    }
  }
};

HADAL_CLONES void q3_k(const float* x, const float* w, std::byte* out) {
  ScalesBlock<-4, 3, -32> block;
  block.fit(x, w);
  std::memset(out, 0, 110);
  for (int i = 0; i < 256; ++i) out[i % 32] |= static_cast<std::byte>((block.codes[i] >> 2) << i / 32);
  put_pairs_of_bits(block.codes, out + 32);
  for (int r = 0; r < 16; ++r) {
    const int scale = block.scales[r] + 32;
    out[96 + r % 8] |= static_cast<std::byte>((scale & 15) << r / 8 * 4);
    out[104 + r % 4] |= static_cast<std::byte>((scale >> 4) << r / 4 * 2);
  }
  put_half(out + 108, block.d);
}

HADAL_CLONES void q6_k(const float* x, const float* w, std::byte* out) {
  ScalesBlock<-32, 31, -128> block;
  block.fit(x, w);
  std::memset(out, 0, 192);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
    out[half * 64 + quarter % 2 * 32 + l] |= static_cast<std::byte>((block.codes[i] & 15) << quarter / 2 * 4);
    out[128 + half * 32 + l] |= static_cast<std::byte>((block.codes[i] >> 4) << quarter * 2);
  }
  for (int r = 0; r < 16; ++r) {
    const auto scale = static_cast<std::int8_t>(block.scales[r]);
    std::memcpy(out + 192 + r, &scale, 1);
  }
  put_half(out + 208, block.d);
}

struct Quantiser {
  DType dtype;
  void (*block)(const float* x, const float* w, std::byte* out);  // null: a plain type
};
constexpr std::array kQuantisers = std::to_array<Quantiser>({{DType::f32, nullptr},
                                                             {DType::f16, nullptr},
                                                             {DType::bf16, nullptr},
                                                             {DType::q8_0, q8_0},
                                                             {DType::q4_0, q4_0},
                                                             {DType::q4_1, q4_1},
                                                             {DType::q5_0, q5_0},
                                                             {DType::q5_1, q5_1},
                                                             {DType::q2_k, q2_k},
                                                             {DType::q3_k, q3_k},
                                                             {DType::q4_k, q4_k},
                                                             {DType::q5_k, q5_k},
                                                             {DType::q6_k, q6_k}});

const Quantiser* quantiser_for(DType dtype) {
  for (const Quantiser& each : kQuantisers)
    if (each.dtype == dtype) return &each;
  return nullptr;
}

void store_plain(DType to, const float* values, std::size_t n, std::byte* out) {
  if (to == DType::f32) {
    std::memcpy(out, values, n * sizeof(float));
    return;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint16_t bits = to == DType::f16 ? to_f16(values[i]).bits : to_bf16(values[i]).bits;
    std::memcpy(out + 2 * i, &bits, 2);
  }
}

}  // namespace

bool can_quantise(DType dtype) {
  return quantiser_for(dtype) != nullptr;
}

std::string quantisable_types() {
  std::string all;
  for (const Quantiser& each : kQuantisers) {
    std::string name(name_of(each.dtype));
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    all += (all.empty() ? "" : ", ") + name;
  }
  return all;
}

void quantise(DType to, const float* values, std::size_t n, const float* importance, std::byte* out) {
  const Quantiser* quantiser = quantiser_for(to);
  HADAL_CHECK(quantiser != nullptr);
  if (!quantiser->block) return store_plain(to, values, n, out);
  const std::size_t step = static_cast<std::size_t>(block_values(to)),
                    bytes = static_cast<std::size_t>(block_bytes(to));
  HADAL_CHECK(n % step == 0);
  alignas(64) float equal[256];
  std::fill_n(equal, 256, 1.0f);
  for (std::size_t i = 0; i < n; i += step, out += bytes)
    quantiser->block(values + i, importance ? importance + i : equal, out);
}

std::size_t first_not_finite(const float* values, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i)
    if ((std::bit_cast<std::uint32_t>(values[i]) & 0x7f800000u) == 0x7f800000u) return i;
  return n;
}

}  // namespace hadal
