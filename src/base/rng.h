// Seeded random numbers that are the same on every machine and in every release.
//
// A counter-based stream (splitmix64's finaliser over key + counter): the i-th
// number of a stream costs the same as the first, so state to resume from is one
// integer. The standard library's distributions are not portable; these are.
#pragma once

#include <cmath>
#include <cstdint>

namespace hadal {

class Rng {
 public:
  explicit Rng(std::uint64_t seed, std::uint64_t counter = 0) noexcept
      : key_(mix(seed ^ 0x9e3779b97f4a7c15ULL)), counter_(counter) {}

  std::uint64_t next_u64() noexcept { return mix(key_ + 0x9e3779b97f4a7c15ULL * ++counter_); }
  // Uniform in [0, 1), 53 bits.
  double next_double() noexcept { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }
  // Uniform in [0, bound); bound > 0. Multiply-shift: a bias of bound / 2^64.
  std::uint64_t next_below(std::uint64_t bound) noexcept {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next_u64()) * bound) >> 64);
  }
  // Uniform in [low, high], both included.
  std::int64_t next_in(std::int64_t low, std::int64_t high) noexcept {
    return low + static_cast<std::int64_t>(next_below(static_cast<std::uint64_t>(high - low) + 1));
  }
  // Standard normal (Box and Muller, one of the pair).
  double next_normal() noexcept {
    const double u = 1.0 - next_double(), v = next_double();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

  std::uint64_t counter() const noexcept { return counter_; }

 private:
  static constexpr std::uint64_t mix(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }
  std::uint64_t key_;
  std::uint64_t counter_;
};

}  // namespace hadal
