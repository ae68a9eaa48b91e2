// fp8 e4m3fn (1 sign, 4 exponent, 3 mantissa bits, bias 7): DeepSeek's weight type.
//
// No infinities: S1111111 is NaN, the largest finite number is 448, the smallest
// step 2^-9. Stored here, computed with in float. Also e8m0, a power of two alone,
// which newer checkpoints use for scales.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

namespace hadal {

struct fp8_e4m3 {
  std::uint8_t bits;

  friend bool operator==(fp8_e4m3, fp8_e4m3) = default;
};

struct fp8_e8m0 {  // 2^(bits - 127); 255 is NaN
  std::uint8_t bits;
};

inline constexpr float kFp8Max = 448.0f;

namespace fp8_detail {

constexpr float decode_e4m3(std::uint8_t bits) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x80u) << 24;
  const std::uint32_t exponent = (bits >> 3) & 15u, mantissa = bits & 7u;
  if ((bits & 0x7fu) == 0x7fu) return std::numeric_limits<float>::quiet_NaN();
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-9f;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 120u) << 23) | (mantissa << 20));
}

constexpr std::array<float, 256> make_e4m3_table() noexcept {
  std::array<float, 256> table{};
  for (unsigned i = 0; i < 256; ++i) table[i] = decode_e4m3(static_cast<std::uint8_t>(i));
  return table;
}

}  // namespace fp8_detail

inline constexpr std::array<float, 256> kFp8E4m3Table = fp8_detail::make_e4m3_table();

constexpr float to_float(fp8_e4m3 x) noexcept {
  return kFp8E4m3Table[x.bits];
}

// Rounds to nearest, ties to even; what is larger than 448, infinity too, becomes 448; NaN stays NaN.
constexpr fp8_e4m3 to_fp8_e4m3(float x) noexcept {
  std::uint32_t u = std::bit_cast<std::uint32_t>(x);
  const std::uint8_t sign = static_cast<std::uint8_t>((u >> 24) & 0x80u);
  u &= 0x7fffffffu;
  std::uint32_t code = 0;
  if (u > 0x7f800000u) {
    code = 0x7f;
  } else if (u <
             (121u << 23)) {  // below 2^-6: multiples of 2^-9; adding 2^23 leaves the nearest integer in the low bits
    code = std::bit_cast<std::uint32_t>(std::bit_cast<float>(u) * 512.0f + 0x1p23f) & 0xfu;
  } else {
    u += 0x7ffffu + ((u >> 20) & 1u);
    code = (u >> 20) - (120u << 3);
    if (code > 0x7eu) code = 0x7e;
  }
  return fp8_e4m3{static_cast<std::uint8_t>(sign | code)};
}

constexpr float to_float(fp8_e8m0 x) noexcept {
  if (x.bits == 255) return std::numeric_limits<float>::quiet_NaN();
  if (x.bits == 0) return 0x1p-127f;
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 23);
}

}  // namespace hadal
