#include "base/block_formats.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "base/block_grids.h"
#include "base/check.h"
#include "base/f16.h"

namespace hadal {
namespace {

using Bytes = const std::uint8_t*;

float half_at(Bytes p) {
  f16 x;
  std::memcpy(&x, p, sizeof(x));
  return to_float(x);
}
std::uint16_t u16_at(Bytes p) {
  std::uint16_t x;
  std::memcpy(&x, p, sizeof(x));
  return x;
}
std::uint32_t u32_at(Bytes p) {
  std::uint32_t x;
  std::memcpy(&x, p, sizeof(x));
  return x;
}
float whole(int x) {
  return static_cast<float>(x);
}

// --- blocks of 32: 16 bytes hold values 0 to 15 in their low nibbles, 16 to 31 in the high ones ----------------------

int nibble(Bytes nibbles, int i) {
  return i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4;
}

void q4_0(Bytes in, float* out) {  // d, nibbles
  const float d = half_at(in);
  for (int i = 0; i < 32; ++i) out[i] = d * whole(nibble(in + 2, i) - 8);
}

void q4_1(Bytes in, float* out) {  // d, m, nibbles
  const float d = half_at(in), m = half_at(in + 2);
  for (int i = 0; i < 32; ++i) out[i] = d * whole(nibble(in + 4, i)) + m;
}

void q5_0(Bytes in, float* out) {  // d, fifth bits, nibbles
  const float d = half_at(in);
  const std::uint32_t fifth = u32_at(in + 2);
  for (int i = 0; i < 32; ++i) out[i] = d * whole((nibble(in + 6, i) | static_cast<int>(fifth >> i & 1) << 4) - 16);
}

void q5_1(Bytes in, float* out) {  // d, m, fifth bits, nibbles
  const float d = half_at(in), m = half_at(in + 2);
  const std::uint32_t fifth = u32_at(in + 4);
  for (int i = 0; i < 32; ++i) out[i] = d * whole(nibble(in + 8, i) | static_cast<int>(fifth >> i & 1) << 4) + m;
}

void q8_0(Bytes in, float* out) {  // d, signed bytes
  const float d = half_at(in);
  for (int i = 0; i < 32; ++i) out[i] = d * whole(static_cast<std::int8_t>(in[2 + i]));
}

constexpr int kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

void iq4_nl(Bytes in, float* out) {  // d, nibbles that index a table
  const float d = half_at(in);
  for (int i = 0; i < 32; ++i) out[i] = d * whole(kIq4Values[nibble(in + 2, i)]);
}

void mxfp4(Bytes in, float* out) {  // exponent, nibbles: sign and e2m1 magnitude, doubled
  constexpr int kDoubled[8] = {0, 1, 2, 3, 4, 6, 8, 12};
  const float scale = std::bit_cast<float>(in[0] < 2 ? 0x00200000u << in[0] : (in[0] - 1u) << 23);  // 2^(e - 128)
  for (int i = 0; i < 32; ++i) {
    const int code = nibble(in + 1, i), magnitude = kDoubled[code & 7];
    out[i] = scale * whole(code & 8 ? -magnitude : magnitude);
  }
}

// --- blocks of 256 ---------------------------------------------------------------------------------------------------

void q2_k(Bytes in, float* out) {  // 16 scales and minima, two bits each, d, dmin
  const float d = half_at(in + 80), minimum = half_at(in + 82);
  for (int i = 0; i < 256; ++i) {
    const int scale = in[i / 16], code = in[16 + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
    out[i] = d * whole(scale & 15) * whole(code) - minimum * whole(scale >> 4);
  }
}

void q3_k(Bytes in, float* out) {  // third bits, two bits each, 16 scales of six bits, d
  const float d = half_at(in + 108);
  const Bytes packed = in + 96;
  for (int i = 0; i < 256; ++i) {
    const int run = i / 16, low = packed[run % 8] >> run / 8 * 4 & 15, high = packed[8 + run % 4] >> run / 4 * 2 & 3;
    const int code = in[32 + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3, third = in[i % 32] >> i / 32 & 1;
    out[i] = d * whole((low | high << 4) - 32) * whole(code + 4 * third - 4);
  }
}

// Scale and minimum of run j of eight, six bits each in twelve bytes.
struct ScaleAndMinimum {
  int scale, minimum;
};
ScaleAndMinimum six_bits(Bytes s, int j) {
  if (j < 4) return {s[j] & 63, s[j + 4] & 63};
  return {(s[j + 4] & 15) | (s[j - 4] >> 6) << 4, s[j + 4] >> 4 | (s[j] >> 6) << 4};
}

void q4_k(Bytes in, float* out) {  // d, dmin, scales, nibbles: per 64 values 32 low ones, then 32 high ones
  const float d = half_at(in), minimum = half_at(in + 2);
  for (int i = 0; i < 256; ++i) {
    const auto s = six_bits(in + 4, i / 32);
    const int code = in[16 + i / 64 * 32 + i % 32] >> i % 64 / 32 * 4 & 15;
    out[i] = d * whole(s.scale) * whole(code) - minimum * whole(s.minimum);
  }
}

void q5_k(Bytes in, float* out) {  // as q4_k, with fifth bits after the scales
  const float d = half_at(in), minimum = half_at(in + 2);
  for (int i = 0; i < 256; ++i) {
    const auto s = six_bits(in + 4, i / 32);
    const int code = (in[48 + i / 64 * 32 + i % 32] >> i % 64 / 32 * 4 & 15) | (in[16 + i % 32] >> i / 32 & 1) << 4;
    out[i] = d * whole(s.scale) * whole(code) - minimum * whole(s.minimum);
  }
}

void q6_k(Bytes in, float* out) {  // low nibbles, two high bits each, 16 signed scales, d
  const float d = half_at(in + 208);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
    const int low = in[half * 64 + quarter % 2 * 32 + l] >> quarter / 2 * 4 & 15,
              high = in[128 + half * 32 + l] >> quarter * 2 & 3;
    out[i] = d * whole(static_cast<std::int8_t>(in[192 + i / 16])) * whole((low | high << 4) - 32);
  }
}

void iq4_xs(Bytes in, float* out) {  // d, high bits of eight scales, low nibbles of them, nibbles
  const float d = half_at(in);
  for (int i = 0; i < 256; ++i) {
    const int run = i / 32, low = in[4 + run / 2] >> run % 2 * 4 & 15, high = u16_at(in + 2) >> run * 2 & 3;
    out[i] = d * whole((low | high << 4) - 32) * whole(kIq4Values[nibble(in + 8 + run * 16, i % 32)]);
  }
}

// --- blocks of 256 whose groups of values are entries of a grid ------------------------------------------------------

// Eight sign bits of which seven are stored: the number of minus signs is even.
int sign_bits(int seven) {
  return seven | (std::popcount(static_cast<unsigned>(seven)) & 1) << 7;
}
// out[i] = scale * magnitude i with its sign, n of them; bit i of `signs` from `first` on is a minus.
void signed_grid(float scale, const std::uint8_t* magnitudes, int n, int signs, int first, float* out) {
  for (int i = 0; i < n; ++i) out[i] = scale * whole(magnitudes[i]) * (signs >> (first + i) & 1 ? -1.0f : 1.0f);
}

void iq2_xxs(Bytes in, float* out) {  // d; per 32 values four grid bytes, then 4 x 7 signs and 4 bits of scale
  const float d = half_at(in);
  for (int run = 0; run < 8; ++run) {
    const Bytes at = in + 2 + 8 * run;
    const std::uint32_t rest = u32_at(at + 4);
    const float scale = d * (0.5f + whole(static_cast<int>(rest >> 28))) * 0.25f;
    for (int l = 0; l < 4; ++l)
      signed_grid(scale, kIq2XxsGrid[at[l]].data(), 8, sign_bits(rest >> 7 * l & 127), 0, out + 32 * run + 8 * l);
  }
}

void iq2_xs(Bytes in, float* out) {  // d; 32 words of 9 grid and 7 sign bits; 16 scales of 4 bits
  const float d = half_at(in);
  for (int l = 0; l < 32; ++l) {
    const int word = u16_at(in + 2 + 2 * l), run = l / 2, scale = in[66 + run / 2] >> run % 2 * 4 & 15;
    signed_grid(d * (0.5f + whole(scale)) * 0.25f, kIq2XsGrid[static_cast<std::size_t>(word & 511)].data(), 8,
                sign_bits(word >> 9), 0, out + 8 * l);
  }
}

void iq2_s(Bytes in, float* out) {  // d; 32 low bytes of the grid index, 32 sign bytes, high bits, 16 scales of 4 bits
  const float d = half_at(in);
  for (int l = 0; l < 32; ++l) {
    const int high = in[66 + l / 4] >> l % 4 * 2 & 3, run = l / 2, scale = in[74 + run / 2] >> run % 2 * 4 & 15;
    signed_grid(d * (0.5f + whole(scale)) * 0.25f, kIq2SGrid[static_cast<std::size_t>(in[2 + l] | high << 8)].data(), 8,
                in[34 + l], 0, out + 8 * l);
  }
}

void iq3_xxs(Bytes in, float* out) {  // d; 64 grid bytes of four values; per 32 values 4 x 7 signs and 4 bits of scale
  const float d = half_at(in);
  for (int run = 0; run < 8; ++run) {
    const std::uint32_t rest = u32_at(in + 66 + 4 * run);
    const float scale = d * (0.5f + whole(static_cast<int>(rest >> 28))) * 0.5f;
    for (int l = 0; l < 8; ++l)
      signed_grid(scale, kIq3XxsGrid[in[2 + 8 * run + l]].data(), 4, sign_bits(rest >> l / 2 * 7 & 127), l % 2 * 4,
                  out + 32 * run + 4 * l);
  }
}

void iq3_s(Bytes in,
           float* out) {  // d; 64 low bytes of the grid index, 8 of high bits, 32 sign bytes, 8 scales of 4 bits
  const float d = half_at(in);
  for (int l = 0; l < 64; ++l) {
    const int high = in[66 + l / 8] >> l % 8 & 1, run = l / 8, scale = in[106 + run / 2] >> run % 2 * 4 & 15;
    signed_grid(d * whole(1 + 2 * scale), kIq3SGrid[static_cast<std::size_t>(in[2 + l] | high << 8)].data(), 4,
                in[74 + l / 2], l % 2 * 4, out + 4 * l);
  }
}

constexpr float kIq1Delta = 0.125f;

void iq1_s(Bytes in,
           float* out) {  // d; 32 low bytes of the grid index; per 32 values 4 x 3 high bits, scale, sign of delta
  const float d = half_at(in);
  for (int l = 0; l < 32; ++l) {
    const int word = u16_at(in + 34 + l / 4 * 2), high = word >> l % 4 * 3 & 7;
    const float scale = d * whole(2 * (word >> 12 & 7) + 1), delta = word & 0x8000 ? -kIq1Delta : kIq1Delta;
    const auto& grid = kIq1SGrid[static_cast<std::size_t>(in[2 + l] | high << 8)];
    for (int i = 0; i < 8; ++i) out[8 * l + i] = scale * (whole(grid[static_cast<std::size_t>(i)]) + delta);
  }
}

void iq1_m(Bytes in,
           float* out) {  // 32 low bytes, high bits with the sign of delta, 16 scales of 3 bits around d's bits
  std::uint16_t bits = 0;
  for (int i = 0; i < 4; ++i) bits = static_cast<std::uint16_t>(bits | (u16_at(in + 48 + 2 * i) >> 12) << 4 * i);
  const float d = to_float(f16{bits});
  for (int l = 0; l < 32; ++l) {
    const int extra = in[32 + l / 2] >> l % 2 * 4 & 15, run = l / 2;
    const int scale = u16_at(in + 48 + run / 4 * 2) >> run % 4 * 3 & 7;
    const auto& grid = kIq1SGrid[static_cast<std::size_t>(in[l] | (extra & 7) << 8)];
    const float delta = extra & 8 ? -kIq1Delta : kIq1Delta;
    for (int i = 0; i < 8; ++i)
      out[8 * l + i] = d * whole(2 * scale + 1) * (whole(grid[static_cast<std::size_t>(i)]) + delta);
  }
}

// --- ternary blocks of 256 -------------------------------------------------------------------------------------------

// Digit n (from the front) of a fraction of 256 in base three.
int ternary_digit(int byte, int n) {
  constexpr int kPowers[5] = {1, 3, 9, 27, 81};
  return (byte * kPowers[n] & 255) * 3 >> 8;
}

void tq1_0(Bytes in, float* out) {  // 48 bytes of five digits, 4 of four, d
  const float d = half_at(in + 52);
  for (int i = 0; i < 256; ++i) {
    int digit = 0;
    if (i < 160)
      digit = ternary_digit(in[i % 32], i / 32);
    else if (i < 240)
      digit = ternary_digit(in[32 + (i - 160) % 16], (i - 160) / 16);
    else
      digit = ternary_digit(in[48 + (i - 240) % 4], (i - 240) / 4);
    out[i] = d * whole(digit - 1);
  }
}

void tq2_0(Bytes in, float* out) {  // two bits each, d
  const float d = half_at(in + 64);
  for (int i = 0; i < 256; ++i) out[i] = d * whole((in[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3) - 1);
}

using Dequantise = void (*)(Bytes in, float* out);

Dequantise function_for(DType dtype) {
  switch (dtype) {
    case DType::q4_0:
      return q4_0;
    case DType::q4_1:
      return q4_1;
    case DType::q5_0:
      return q5_0;
    case DType::q5_1:
      return q5_1;
    case DType::q8_0:
      return q8_0;
    case DType::q2_k:
      return q2_k;
    case DType::q3_k:
      return q3_k;
    case DType::q4_k:
      return q4_k;
    case DType::q5_k:
      return q5_k;
    case DType::q6_k:
      return q6_k;
    case DType::iq4_nl:
      return iq4_nl;
    case DType::iq4_xs:
      return iq4_xs;
    case DType::iq3_s:
      return iq3_s;
    case DType::iq3_xxs:
      return iq3_xxs;
    case DType::iq2_s:
      return iq2_s;
    case DType::iq2_xs:
      return iq2_xs;
    case DType::iq2_xxs:
      return iq2_xxs;
    case DType::iq1_s:
      return iq1_s;
    case DType::iq1_m:
      return iq1_m;
    case DType::tq1_0:
      return tq1_0;
    case DType::tq2_0:
      return tq2_0;
    case DType::mxfp4:
      return mxfp4;
    default:
      return nullptr;
  }
}

}  // namespace

void dequantise(DType dtype, const std::byte* in, std::size_t n, float* out) {
  const Dequantise block = function_for(dtype);
  HADAL_CHECK(block != nullptr);
  const std::size_t values = static_cast<std::size_t>(block_values(dtype)),
                    bytes = static_cast<std::size_t>(block_bytes(dtype));
  HADAL_CHECK(n % values == 0);
  const auto* from = reinterpret_cast<Bytes>(in);
  for (std::size_t i = 0; i < n; i += values, from += bytes, out += values) block(from, out);
}

}  // namespace hadal
