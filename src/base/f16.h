// IEEE half precision, as some checkpoints store their weights, and GGUF its scales.
#pragma once

#include <bit>
#include <cstdint>

namespace hadal {

struct f16 {
  std::uint16_t bits;
};

constexpr float to_float(f16 x) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
  const std::uint32_t exponent = (x.bits >> 10) & 31u, mantissa = x.bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

// Rounds to nearest, ties to even; beyond 65504 an infinity, a NaN stays one.
constexpr f16 to_f16(float x) noexcept {
  const std::uint32_t u = std::bit_cast<std::uint32_t>(x), sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return f16{static_cast<std::uint16_t>(sign | 0x7e00u)};
  if (magnitude >= 0x477ff000u) return f16{static_cast<std::uint16_t>(sign | 0x7c00u)};  // 65520 and up
  if (magnitude < 0x38800000u) {  // below 2^-14: a sum with 0.5 leaves a multiple of 2^-24 in the lowest bits
    const std::uint32_t sum = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f);
    return f16{static_cast<std::uint16_t>(sign | (sum - 0x3f000000u))};
  }
  const std::uint32_t rounded = magnitude - 0x38000000u + 0x0fffu + (magnitude >> 13 & 1u);
  return f16{static_cast<std::uint16_t>(sign | rounded >> 13)};
}

}  // namespace hadal
