// Sixteen floats, on whatever this file is compiled for.
//
// The three versions do the same arithmetic lane by lane (fused multiply-add,
// round to nearest), and reductions add in one fixed tree, so that a kernel
// written once gives the same bits on every instruction set; only dots of bf16
// pairs by their own instruction (HADAL_SIMD_BF16) round otherwise. Included only by
// simd/isa_*.cc, inside a namespace of its own per instruction set; nothing from
// the standard library's templates may be instantiated here, or the linker could
// pick a copy with instructions that the machine lacks.
//
// bf16 pairs: a Bf16x32 holds, in lane i, the elements 2i and 2i+1 (16 bits each).
#pragma once

#include <cstdint>
#include <cstring>

#if defined(HADAL_SIMD_AVX512) || defined(HADAL_SIMD_AVX2)
#include <immintrin.h>
#endif

namespace hadal::HADAL_SIMD_NAMESPACE {

#define HADAL_INLINE inline __attribute__((always_inline))

#if defined(HADAL_SIMD_AVX512)

using f32x16 = __m512;
HADAL_INLINE f32x16 zero() {
  return _mm512_setzero_ps();
}
HADAL_INLINE f32x16 set1(float x) {
  return _mm512_set1_ps(x);
}
HADAL_INLINE f32x16 load(const float* p) {
  return _mm512_loadu_ps(p);
}
HADAL_INLINE void store(float* p, f32x16 x) {
  _mm512_storeu_ps(p, x);
}
HADAL_INLINE __mmask16 first(int n) {
  return static_cast<__mmask16>((1u << n) - 1u);
}
HADAL_INLINE f32x16 load_first(const float* p, int n) {
  return _mm512_maskz_loadu_ps(first(n), p);
}
HADAL_INLINE void store_first(float* p, f32x16 x, int n) {
  _mm512_mask_storeu_ps(p, first(n), x);
}
HADAL_INLINE f32x16 keep_first(f32x16 x, f32x16 other, int n) {
  return _mm512_mask_mov_ps(other, first(n), x);
}
HADAL_INLINE f32x16 add(f32x16 a, f32x16 b) {
  return _mm512_add_ps(a, b);
}
HADAL_INLINE f32x16 sub(f32x16 a, f32x16 b) {
  return _mm512_sub_ps(a, b);
}
HADAL_INLINE f32x16 mul(f32x16 a, f32x16 b) {
  return _mm512_mul_ps(a, b);
}
HADAL_INLINE f32x16 div(f32x16 a, f32x16 b) {
  return _mm512_div_ps(a, b);
}
HADAL_INLINE f32x16 max(f32x16 a, f32x16 b) {
  return _mm512_max_ps(a, b);
}
HADAL_INLINE f32x16 min(f32x16 a, f32x16 b) {
  return _mm512_min_ps(a, b);
}
HADAL_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) {
  return _mm512_fmadd_ps(a, b, c);
}
// Lane by lane: a < b ? yes : no.
HADAL_INLINE f32x16 where_less(f32x16 a, f32x16 b, f32x16 yes, f32x16 no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
HADAL_INLINE f32x16 round_even(f32x16 x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// 2^n for whole n in [-126, 127].
HADAL_INLINE f32x16 exp2_whole(f32x16 n) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}
HADAL_INLINE void to_array(f32x16 x, float* out) {
  _mm512_storeu_ps(out, x);
}
HADAL_INLINE f32x16 load_bf16(const std::uint16_t* p) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
}
// Round to nearest even; NaN is not expected in activations.
#if defined(HADAL_SIMD_BF16)
HADAL_INLINE void store_bf16(std::uint16_t* p, f32x16 x) {
  const __m256bh h = _mm512_cvtneps_pbh(x);
  std::memcpy(p, &h, 32);
}
// p[2i] = bf16(a[i]), p[2i+1] = bf16(b[i]).
HADAL_INLINE void store_bf16_pairs(std::uint16_t* p, f32x16 a, f32x16 b) {
  const __m512bh h = _mm512_cvtne2ps_pbh(b, a);  // a in the lower half
  __m512i u;
  std::memcpy(&u, &h, 64);
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  _mm512_storeu_si512(p, _mm512_permutexvar_epi16(order, u));
}
#else
HADAL_INLINE __m512i bf16_bits(f32x16 x) {  // in the high half of each 32-bit lane; below it anything
  const __m512i u = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  return _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
}
HADAL_INLINE void store_bf16(std::uint16_t* p, f32x16 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(bf16_bits(x), 16)));
}
HADAL_INLINE void store_bf16_pairs(std::uint16_t* p, f32x16 a, f32x16 b) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  _mm512_storeu_si512(p, _mm512_or_si512(_mm512_srli_epi32(bf16_bits(a), 16), _mm512_and_si512(bf16_bits(b), upper)));
}
#endif
struct Bf16x32 {
  __m512i v;
};
HADAL_INLINE Bf16x32 load_pairs(const std::uint16_t* p) {
  return {_mm512_loadu_si512(p)};
}
HADAL_INLINE Bf16x32 load_pairs_first(const std::uint16_t* p, int n) {
  return {_mm512_maskz_loadu_epi16(static_cast<__mmask32>((std::uint64_t{1} << n) - 1), p)};
}
// Pairs (a[i], b[i]) of two rows: the first sixteen and the last.
HADAL_INLINE void pair_rows(Bf16x32 a, Bf16x32 b, Bf16x32& low, Bf16x32& high) {
  const __m512i low_order = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                                             37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high_order = _mm512_add_epi16(low_order, _mm512_set1_epi16(16));
  low.v = _mm512_permutex2var_epi16(a.v, low_order, b.v);
  high.v = _mm512_permutex2var_epi16(a.v, high_order, b.v);
}
HADAL_INLINE Bf16x32 set1_pair(const std::uint16_t* p) {
  int u;
  std::memcpy(&u, p, 4);
  return {_mm512_set1_epi32(u)};
}
#if defined(HADAL_SIMD_BF16)
HADAL_INLINE f32x16 dot_pairs(f32x16 acc, Bf16x32 a, Bf16x32 b) {
  __m512bh x, y;
  std::memcpy(&x, &a.v, 64);
  std::memcpy(&y, &b.v, 64);
  return _mm512_dpbf16_ps(acc, x, y);
}
#else
// The first of each pair as floats, and the second.
HADAL_INLINE f32x16 firsts(Bf16x32 x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(x.v, 16));
}
HADAL_INLINE f32x16 seconds(Bf16x32 x) {
  return _mm512_castsi512_ps(_mm512_and_si512(x.v, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}
#endif

#elif defined(HADAL_SIMD_AVX2)

struct f32x16 {
  __m256 lo, hi;
};
HADAL_INLINE f32x16 zero() {
  return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
HADAL_INLINE f32x16 set1(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
HADAL_INLINE f32x16 load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
HADAL_INLINE void store(float* p, f32x16 x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}
HADAL_INLINE f32x16 load_first(const float* p, int n) {
  float buffer[16] = {};
  std::memcpy(buffer, p, static_cast<std::size_t>(n) * 4);
  return load(buffer);
}
HADAL_INLINE void store_first(float* p, f32x16 x, int n) {
  float buffer[16];
  store(buffer, x);
  std::memcpy(p, buffer, static_cast<std::size_t>(n) * 4);
}
HADAL_INLINE f32x16 keep_first(f32x16 x, f32x16 other, int n) {
  float a[16], b[16];
  store(a, x);
  store(b, other);
  std::memcpy(b, a, static_cast<std::size_t>(n) * 4);
  return load(b);
}
#define HADAL_LANES2(name, op)                   \
  HADAL_INLINE f32x16 name(f32x16 a, f32x16 b) { \
    return {op(a.lo, b.lo), op(a.hi, b.hi)};     \
  }
HADAL_LANES2(add, _mm256_add_ps)
HADAL_LANES2(sub, _mm256_sub_ps)
HADAL_LANES2(mul, _mm256_mul_ps)
HADAL_LANES2(div, _mm256_div_ps)
HADAL_LANES2(max, _mm256_max_ps)
HADAL_LANES2(min, _mm256_min_ps)
#undef HADAL_LANES2
HADAL_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
HADAL_INLINE f32x16 where_less(f32x16 a, f32x16 b, f32x16 yes, f32x16 no) {
  return {_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
HADAL_INLINE f32x16 round_even(f32x16 x) {
  return {_mm256_round_ps(x.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(x.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
HADAL_INLINE __m256 exp2_whole_half(__m256 n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
HADAL_INLINE f32x16 exp2_whole(f32x16 n) {
  return {exp2_whole_half(n.lo), exp2_whole_half(n.hi)};
}
HADAL_INLINE void to_array(f32x16 x, float* out) {
  store(out, x);
}
HADAL_INLINE __m256 widen_bf16(const std::uint16_t* p) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
}
HADAL_INLINE f32x16 load_bf16(const std::uint16_t* p) {
  return {widen_bf16(p), widen_bf16(p + 8)};
}
HADAL_INLINE __m256i bf16_bits(__m256 x) {  // in the low half of each 32-bit lane
  const __m256i u = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  return _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
}
HADAL_INLINE void store_bf16(std::uint16_t* p, f32x16 x) {
  const __m256i packed = _mm256_packus_epi32(bf16_bits(x.lo), bf16_bits(x.hi));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}
HADAL_INLINE void store_bf16_pairs(std::uint16_t* p, f32x16 a, f32x16 b) {
  const __m256i lo = _mm256_or_si256(bf16_bits(a.lo), _mm256_slli_epi32(bf16_bits(b.lo), 16));
  const __m256i hi = _mm256_or_si256(bf16_bits(a.hi), _mm256_slli_epi32(bf16_bits(b.hi), 16));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p) + 1, hi);
}
struct Bf16x32 {
  __m256i lo, hi;
};
HADAL_INLINE Bf16x32 load_pairs(const std::uint16_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p) + 1)};
}
HADAL_INLINE Bf16x32 load_pairs_first(const std::uint16_t* p, int n) {
  if (n == 16) return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_setzero_si256()};
  std::uint16_t buffer[32] = {};
  std::memcpy(buffer, p, static_cast<std::size_t>(n) * 2);
  return load_pairs(buffer);
}
HADAL_INLINE Bf16x32 pair_half(__m256i a, __m256i b) {
  const __m256i even = _mm256_unpacklo_epi16(a, b), odd = _mm256_unpackhi_epi16(a, b);  // each 128-bit half by itself
  return {_mm256_permute2x128_si256(even, odd, 0x20), _mm256_permute2x128_si256(even, odd, 0x31)};
}
HADAL_INLINE void pair_rows(Bf16x32 a, Bf16x32 b, Bf16x32& low, Bf16x32& high) {
  low = pair_half(a.lo, b.lo);
  high = pair_half(a.hi, b.hi);
}
HADAL_INLINE Bf16x32 set1_pair(const std::uint16_t* p) {
  int u;
  std::memcpy(&u, p, 4);
  return {_mm256_set1_epi32(u), _mm256_set1_epi32(u)};
}
HADAL_INLINE f32x16 firsts(Bf16x32 x) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(x.lo, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(x.hi, 16))};
}
HADAL_INLINE f32x16 seconds(Bf16x32 x) {
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  return {_mm256_castsi256_ps(_mm256_and_si256(x.lo, upper)), _mm256_castsi256_ps(_mm256_and_si256(x.hi, upper))};
}

#else  // portable

struct f32x16 {
  float v[16];
};
#define HADAL_EACH for (int i = 0; i < 16; ++i)
HADAL_INLINE f32x16 set1(float x) {
  f32x16 r;
  HADAL_EACH r.v[i] = x;
  return r;
}
HADAL_INLINE f32x16 zero() {
  return set1(0);
}
HADAL_INLINE f32x16 load(const float* p) {
  f32x16 r;
  std::memcpy(r.v, p, 64);
  return r;
}
HADAL_INLINE void store(float* p, f32x16 x) {
  std::memcpy(p, x.v, 64);
}
HADAL_INLINE f32x16 load_first(const float* p, int n) {
  f32x16 r = zero();
  std::memcpy(r.v, p, static_cast<std::size_t>(n) * 4);
  return r;
}
HADAL_INLINE void store_first(float* p, f32x16 x, int n) {
  std::memcpy(p, x.v, static_cast<std::size_t>(n) * 4);
}
HADAL_INLINE f32x16 keep_first(f32x16 x, f32x16 other, int n) {
  std::memcpy(other.v, x.v, static_cast<std::size_t>(n) * 4);
  return other;
}
#define HADAL_LANES2(name, expression)           \
  HADAL_INLINE f32x16 name(f32x16 a, f32x16 b) { \
    f32x16 r;                                    \
    HADAL_EACH r.v[i] = expression;              \
    return r;                                    \
  }
HADAL_LANES2(add, a.v[i] + b.v[i])
HADAL_LANES2(sub, a.v[i] - b.v[i])
HADAL_LANES2(mul, a.v[i] * b.v[i])
HADAL_LANES2(div, a.v[i] / b.v[i])
HADAL_LANES2(max, a.v[i] > b.v[i] ? a.v[i] : b.v[i])
HADAL_LANES2(min, a.v[i] < b.v[i] ? a.v[i] : b.v[i])
#undef HADAL_LANES2
HADAL_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) {
  f32x16 r;
  HADAL_EACH r.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
  return r;
}
HADAL_INLINE f32x16 where_less(f32x16 a, f32x16 b, f32x16 yes, f32x16 no) {
  HADAL_EACH no.v[i] = a.v[i] < b.v[i] ? yes.v[i] : no.v[i];
  return no;
}
HADAL_INLINE f32x16 round_even(f32x16 x) {
  HADAL_EACH x.v[i] = __builtin_rintf(x.v[i]);
  return x;
}
HADAL_INLINE f32x16 exp2_whole(f32x16 n) {
  f32x16 r;
  HADAL_EACH {
    const std::uint32_t u = static_cast<std::uint32_t>(static_cast<int>(n.v[i]) + 127) << 23;
    std::memcpy(&r.v[i], &u, 4);
  }
  return r;
}
HADAL_INLINE void to_array(f32x16 x, float* out) {
  std::memcpy(out, x.v, 64);
}
HADAL_INLINE float widen(std::uint16_t bits) {
  const std::uint32_t u = static_cast<std::uint32_t>(bits) << 16;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}
HADAL_INLINE std::uint16_t narrow(float f) {
  std::uint32_t u;
  std::memcpy(&u, &f, 4);
  return static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
HADAL_INLINE f32x16 load_bf16(const std::uint16_t* p) {
  f32x16 r;
  HADAL_EACH r.v[i] = widen(p[i]);
  return r;
}
HADAL_INLINE void store_bf16(std::uint16_t* p, f32x16 x) {
  HADAL_EACH p[i] = narrow(x.v[i]);
}
HADAL_INLINE void store_bf16_pairs(std::uint16_t* p, f32x16 a, f32x16 b) {
  HADAL_EACH {
    p[2 * i] = narrow(a.v[i]);
    p[2 * i + 1] = narrow(b.v[i]);
  }
}
struct Bf16x32 {
  std::uint16_t v[32];
};
HADAL_INLINE Bf16x32 load_pairs(const std::uint16_t* p) {
  Bf16x32 r;
  std::memcpy(r.v, p, 64);
  return r;
}
HADAL_INLINE Bf16x32 load_pairs_first(const std::uint16_t* p, int n) {
  Bf16x32 r = {};
  std::memcpy(r.v, p, static_cast<std::size_t>(n) * 2);
  return r;
}
HADAL_INLINE void pair_rows(const Bf16x32& a, const Bf16x32& b, Bf16x32& low, Bf16x32& high) {
  HADAL_EACH {
    low.v[2 * i] = a.v[i];
    low.v[2 * i + 1] = b.v[i];
    high.v[2 * i] = a.v[16 + i];
    high.v[2 * i + 1] = b.v[16 + i];
  }
}
HADAL_INLINE Bf16x32 set1_pair(const std::uint16_t* p) {
  Bf16x32 r;
  HADAL_EACH {
    r.v[2 * i] = p[0];
    r.v[2 * i + 1] = p[1];
  }
  return r;
}
HADAL_INLINE f32x16 firsts(const Bf16x32& x) {
  f32x16 r;
  HADAL_EACH r.v[i] = widen(x.v[2 * i]);
  return r;
}
HADAL_INLINE f32x16 seconds(const Bf16x32& x) {
  f32x16 r;
  HADAL_EACH r.v[i] = widen(x.v[2 * i + 1]);
  return r;
}
#undef HADAL_EACH

#endif

#if !defined(HADAL_SIMD_BF16)
HADAL_INLINE f32x16 dot_pairs(f32x16 acc, Bf16x32 a, Bf16x32 b) {
  return fma(firsts(a), firsts(b), fma(seconds(a), seconds(b), acc));
}
#endif

// One fixed tree for all: lane i with i + 8, then + 4, + 2, + 1.
#if defined(HADAL_SIMD_AVX512) || defined(HADAL_SIMD_AVX2)
HADAL_INLINE __m256 low_half(f32x16 x) {
#if defined(HADAL_SIMD_AVX512)
  return _mm512_castps512_ps256(x);
#else
  return x.lo;
#endif
}
HADAL_INLINE __m256 high_half(f32x16 x) {
#if defined(HADAL_SIMD_AVX512)
  return _mm512_extractf32x8_ps(x, 1);
#else
  return x.hi;
#endif
}
#define HADAL_REDUCE(name, op)                                                                         \
  HADAL_INLINE float name(f32x16 x) {                                                                  \
    const __m256 eight = _mm256_##op##_ps(low_half(x), high_half(x));                                  \
    const __m128 four = _mm_##op##_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1)); \
    const __m128 two = _mm_##op##_ps(four, _mm_movehl_ps(four, four));                                 \
    return _mm_cvtss_f32(_mm_##op##_ss(two, _mm_shuffle_ps(two, two, 1)));                             \
  }
HADAL_REDUCE(reduce_add, add)
HADAL_REDUCE(reduce_max, max)
#undef HADAL_REDUCE
#else
HADAL_INLINE float reduce_add(f32x16 x) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) x.v[i] += x.v[i + half];
  return x.v[0];
}
HADAL_INLINE float reduce_max(f32x16 x) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) x.v[i] = x.v[i] > x.v[i + half] ? x.v[i] : x.v[i + half];
  return x.v[0];
}
#endif

// Sixteen of them, each by the same tree: sums[i] = reduce_add(x[i]).
HADAL_INLINE void reduce_add_each(const f32x16 (&x)[16], float* sums) {
#if defined(HADAL_SIMD_AVX512)
  // Each level adds halves of two vectors and leaves both in one; the 128-bit quarters come out transposed.
  __m512 eighths[8], quarters[4], pairs[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i)
    eighths[i] = _mm512_add_ps(_mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0x44),
                               _mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0xee));
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    quarters[i] = _mm512_add_ps(_mm512_shuffle_f32x4(eighths[2 * i], eighths[2 * i + 1], 0x88),
                                _mm512_shuffle_f32x4(eighths[2 * i], eighths[2 * i + 1], 0xdd));
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i)
    pairs[i] = _mm512_add_ps(_mm512_shuffle_ps(quarters[2 * i], quarters[2 * i + 1], 0x44),
                             _mm512_shuffle_ps(quarters[2 * i], quarters[2 * i + 1], 0xee));
  const __m512 all =
      _mm512_add_ps(_mm512_shuffle_ps(pairs[0], pairs[1], 0x88), _mm512_shuffle_ps(pairs[0], pairs[1], 0xdd));
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  _mm512_storeu_ps(sums, _mm512_permutexvar_ps(order, all));
#else
  for (int i = 0; i < 16; ++i) sums[i] = reduce_add(x[i]);
#endif
}

// e^x, relative error below 2 units in the last place on [-87, 88]; 0 below, and clamped above.
// x = n ln 2 + r, |r| <= ln(2)/2; e^r by its Taylor polynomial of degree 7 (next term below 2^-26).
HADAL_INLINE f32x16 exp(f32x16 x) {
  const f32x16 clamped = min(max(x, set1(-87.0f)), set1(88.0f));
  const f32x16 n = round_even(mul(clamped, set1(1.44269504f)));
  f32x16 r = fma(n, set1(-0.693145752f), clamped);  // ln 2 in two parts
  r = fma(n, set1(-1.42860677e-6f), r);
  f32x16 p = set1(1.98412698e-4f);
  p = fma(p, r, set1(1.38888889e-3f));
  p = fma(p, r, set1(8.33333333e-3f));
  p = fma(p, r, set1(4.16666667e-2f));
  p = fma(p, r, set1(1.66666667e-1f));
  p = fma(p, r, set1(0.5f));
  p = fma(p, r, set1(1.0f));
  p = fma(p, r, set1(1.0f));
  return mul(p, exp2_whole(n));
}
// exp for arguments <= 0 where "minus infinity" must give exactly 0 (a masked score).
HADAL_INLINE f32x16 exp_masked(f32x16 x) {
  const f32x16 e = exp(x);
#if defined(HADAL_SIMD_AVX512)
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_GE_OQ), e);
#elif defined(HADAL_SIMD_AVX2)
  const __m256 limit = _mm256_set1_ps(-87.0f);
  return {_mm256_and_ps(e.lo, _mm256_cmp_ps(x.lo, limit, _CMP_GE_OQ)),
          _mm256_and_ps(e.hi, _mm256_cmp_ps(x.hi, limit, _CMP_GE_OQ))};
#else
  f32x16 r;
  for (int i = 0; i < 16; ++i) r.v[i] = x.v[i] >= -87.0f ? e.v[i] : 0.0f;
  return r;
#endif
}

}  // namespace hadal::HADAL_SIMD_NAMESPACE
