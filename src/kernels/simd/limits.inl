// Loops that do nothing but keep one unit of the machine busy, for machine_limits.h. Included by simd/isa_*.cc.

namespace hadal::HADAL_SIMD_NAMESPACE {

// Independent sums: enough to cover the latency of a multiply-add (4 to 6 cycles, up to two a cycle), few enough to stay
// in registers (32 of 512 bits, or 16 of 256 with two to a sum).
#if defined(HADAL_SIMD_AVX512)
constexpr int kChains = 12;
#else
constexpr int kChains = 6;
#endif

// The operands come through a volatile and every lane of every chain begins with another number, so that no compiler
// works a sum out or makes one of two (with equal lanes it computed one half of an AVX2 pair and took it twice); the sums
// are looked at afterwards, so that it does not leave them out.
template <class Step>
HADAL_INLINE float run_chains(int rounds, Step step) {
  volatile float start = 1;
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = start * static_cast<float>(i);
  f32x16 sums[kChains];
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) sums[c] = add(load(lanes), set1(start * static_cast<float>(16 * c + 1)));
  for (int round = 0; round < rounds; ++round)
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sums[c] = step(sums[c]);
  float total = 0;
  for (int c = 0; c < kChains; ++c) total += reduce_add(sums[c]);
  return total;
}

// Each returns the operations done; a multiply and an add are two.
double busy_f32(int rounds) {
  volatile float seed = 1e-30f;
  const f32x16 a = set1(seed), b = set1(seed);
  volatile float sink = run_chains(rounds, [&](f32x16 s) { return fma(a, b, s); });
  (void)sink;
  return 2.0 * 16 * kChains * rounds;
}

double busy_bf16(int rounds) {
  volatile std::uint16_t seed = 0x0100;
  const std::uint16_t pair[2] = {seed, seed};
  using Bf16 = Element<std::uint16_t>;
  Left<std::uint16_t> left[2];
  for (int i = 0; i < 2; ++i) left[i] = static_cast<Left<std::uint16_t>>(pair[i]);
  std::uint16_t right[32];
  for (int i = 0; i < 32; ++i) right[i] = pair[i % 2];
  const auto a = Bf16::broadcast(left), b = Bf16::load_b(right);
  volatile float sink = run_chains(rounds, [&](f32x16 s) { return Bf16::multiply_add(s, a, b); });
  (void)sink;
  return 2.0 * 32 * kChains * rounds;
}

// Reads every byte once; bytes is a multiple of 512.
float read_all(const std::byte* from, std::size_t bytes) {
  const auto* p = reinterpret_cast<const float*>(from);
  f32x16 sums[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) sums[i] = zero();
  for (std::size_t at = 0; at < bytes / sizeof(float); at += 8 * 16)
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) sums[i] = add(sums[i], load(p + at + 16 * static_cast<std::size_t>(i)));
  float total = 0;
  for (int i = 0; i < 8; ++i) total += reduce_add(sums[i]);
  return total;
}

}  // namespace hadal::HADAL_SIMD_NAMESPACE
