// bfloat16: the upper half of a float. Stored and moved here, computed with in float.
#pragma once

#include <bit>
#include <cstdint>

namespace hadal {

struct bf16 {
  std::uint16_t bits;

  friend bool operator==(bf16, bf16) = default;
};

constexpr float to_float(bf16 x) noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }

// Rounds to nearest, ties to even; a NaN stays a (quiet) NaN.
constexpr bf16 to_bf16(float x) noexcept {
  const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return bf16{static_cast<std::uint16_t>((u >> 16) | 0x40u)};
  return bf16{static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

}  // namespace hadal
