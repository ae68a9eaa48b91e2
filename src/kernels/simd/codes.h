// Sixty-four bytes at once, for weights that are stored as small codes: unpacking nibbles and bits, and products with
// 8-bit activations. Companion of vec.h, under the same rules: included by simd/isa_*.cc only, the same bits on every
// instruction set (integer sums are exact; lane i of a product sums bytes 4i to 4i + 3).
#pragma once

#include "kernels/simd/vec.h"

namespace hadal::HADAL_SIMD_NAMESPACE {

#if defined(HADAL_SIMD_AVX512)

using u8x64 = __m512i;
HADAL_INLINE u8x64 load_codes(const void* p) {
  return _mm512_loadu_si512(p);
}
HADAL_INLINE void store_codes(std::uint8_t* p, u8x64 x) {
  _mm512_storeu_si512(p, x);
}
// The same 32 bytes twice.
HADAL_INLINE u8x64 twice32(const void* p) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
// 16 bytes twice, then 16 others twice.
HADAL_INLINE u8x64 twice16(const void* p, const void* q) {
  const __m512i a = _mm512_castsi128_si512(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  const __m512i b = _mm512_castsi128_si512(_mm_loadu_si128(static_cast<const __m128i*>(q)));
  return _mm512_shuffle_i64x2(a, b, 0);
}
// 32 bytes, then 32 others.
HADAL_INLINE u8x64 join32(const void* p, const void* q) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(static_cast<const __m256i*>(p))),
                            _mm256_loadu_si256(static_cast<const __m256i*>(q)), 1);
}
// The quarters of 16 bytes, each shifted right by its own count; what comes in from a neighbouring byte is the
// caller's to mask.
template <int A, int B, int C, int D>
HADAL_INLINE u8x64 shift_right(u8x64 x) {
  const __m512i counts =
      _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(_mm_set1_epi16(B), _mm_set1_epi16(A))),
                         _mm256_set_m128i(_mm_set1_epi16(D), _mm_set1_epi16(C)), 1);
  return _mm512_srlv_epi16(x, counts);
}
template <int N>
HADAL_INLINE u8x64 shift_left(u8x64 x) {
  return _mm512_slli_epi16(x, N);
}
HADAL_INLINE u8x64 mask(u8x64 x, std::uint8_t bits) {
  return _mm512_and_si512(x, _mm512_set1_epi8(static_cast<char>(bits)));
}
HADAL_INLINE u8x64 either(u8x64 a, u8x64 b) {
  return _mm512_or_si512(a, b);
}
HADAL_INLINE u8x64 flip(u8x64 x, std::uint8_t bits) {
  return _mm512_xor_si512(x, _mm512_set1_epi8(static_cast<char>(bits)));
}
// `value` in each byte whose bit is set.
HADAL_INLINE u8x64 where(std::uint64_t bits, std::uint8_t value) {
  return _mm512_maskz_set1_epi8(bits, static_cast<char>(value));
}
// table[code] of codes below 16.
HADAL_INLINE u8x64 look_up(const std::uint8_t* table, u8x64 codes) {
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table))), codes);
}
HADAL_INLINE f32x16 dot_codes(u8x64 codes, const std::int8_t* x) {
  return _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), codes, _mm512_loadu_si512(x)));
}
// Sums of whole numbers, and the multipliers of neighbouring pairs of products.
using i32x16 = __m512i;
using i16x32 = __m512i;
HADAL_INLINE i32x16 no_sum() {
  return _mm512_setzero_si512();
}
// sum + products of codes up to 127 with x, times a multiplier for each two of them.
HADAL_INLINE i32x16 add_scaled_dot(i32x16 sum, u8x64 codes, const std::int8_t* x, i16x32 multipliers) {
  return _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(codes, _mm512_loadu_si512(x)), multipliers);
}
HADAL_INLINE f32x16 to_floats(i32x16 x) {
  return _mm512_cvtepi32_ps(x);
}
// Eight sums of two products each of sixteen numbers, in the first eight lanes.
struct i16x16 {
  __m256i v;
};
HADAL_INLINE f32x16 dot_whole(i16x16 a, const std::int16_t* b) {
  const __m256i products = _mm256_madd_epi16(a.v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)));
  return _mm512_zextps256_ps512(_mm256_cvtepi32_ps(products));
}
// Sixteen bytes, signed or not, as whole numbers.
struct u8x16 {
  __m128i v;
};
HADAL_INLINE u8x16 bytes_of(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return {_mm_set_epi32(static_cast<int>(d), static_cast<int>(c), static_cast<int>(b), static_cast<int>(a))};
}
HADAL_INLINE u8x16 bytes_at(const void* p) {
  return {_mm_loadu_si128(static_cast<const __m128i*>(p))};
}
HADAL_INLINE i16x16 signed_whole(u8x16 x) {
  return {_mm256_cvtepi8_epi16(x.v)};
}
HADAL_INLINE i16x16 minus(i16x16 a, int b) {
  return {_mm256_sub_epi16(a.v, _mm256_set1_epi16(static_cast<short>(b)))};
}
// Runs of eight numbers become runs of sixteen: lane i takes lane 8 + i / 2 (the minima of eight runs of 32).
HADAL_INLINE i16x16 upper_twice(i16x16 x) {
  const __m256i upper = _mm256_permute4x64_epi64(x.v, 0xfa);  // lanes 8..11 twice, 12..15 twice
  return {_mm256_shuffle_epi8(upper, _mm256_setr_epi8(0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7, 0, 1, 0, 1, 2, 3, 2, 3,
                                                      4, 5, 4, 5, 6, 7, 6, 7))};
}
// The multipliers of chunk kFirst / (64 / kRun): number kFirst + i of `x` for run i of the chunk.
template <int kFirst, int kRun>
HADAL_INLINE i16x32 multipliers(i16x16 x) {
  alignas(64) static constexpr short kLanes[32] = {
      kFirst + 0 / kRun,  kFirst + 2 / kRun,  kFirst + 4 / kRun,  kFirst + 6 / kRun,  kFirst + 8 / kRun,  kFirst + 10 / kRun,
      kFirst + 12 / kRun, kFirst + 14 / kRun, kFirst + 16 / kRun, kFirst + 18 / kRun, kFirst + 20 / kRun, kFirst + 22 / kRun,
      kFirst + 24 / kRun, kFirst + 26 / kRun, kFirst + 28 / kRun, kFirst + 30 / kRun, kFirst + 32 / kRun, kFirst + 34 / kRun,
      kFirst + 36 / kRun, kFirst + 38 / kRun, kFirst + 40 / kRun, kFirst + 42 / kRun, kFirst + 44 / kRun, kFirst + 46 / kRun,
      kFirst + 48 / kRun, kFirst + 50 / kRun, kFirst + 52 / kRun, kFirst + 54 / kRun, kFirst + 56 / kRun, kFirst + 58 / kRun,
      kFirst + 60 / kRun, kFirst + 62 / kRun};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kLanes), _mm512_castsi256_si512(x.v));
}
// 16 codes as floats.
HADAL_INLINE f32x16 widen_codes(const std::uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
HADAL_INLINE f32x16 widen_whole(i16x16 x) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(x.v));
}
// The bytes of four words, the lowest first. By value: what was stored in parts cannot be loaded whole at once.
HADAL_INLINE f32x16 widen_words(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(
      _mm_set_epi32(static_cast<int>(d), static_cast<int>(c), static_cast<int>(b), static_cast<int>(a))));
}
// Eight half-precision numbers in the parts of two words, the lowest first; the other lanes are zero.
HADAL_INLINE f32x16 widen_halves(std::uint64_t a, std::uint64_t b) {
  return _mm512_zextps256_ps512(
      _mm256_cvtph_ps(_mm_set_epi64x(static_cast<long long>(b), static_cast<long long>(a))));
}
HADAL_INLINE f32x16 widen_signed(const std::int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
// Whole numbers from -128 to 127.
HADAL_INLINE void store_signed(std::int8_t* p, f32x16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
}
// Lane i takes lane `kFirst + i / kEach`.
template <int kFirst, int kEach>
HADAL_INLINE f32x16 spread(f32x16 x) {
  const __m512i lanes = _mm512_set_epi32(15 / kEach, 14 / kEach, 13 / kEach, 12 / kEach, 11 / kEach, 10 / kEach, 9 / kEach,
                                         8 / kEach, 7 / kEach, 6 / kEach, 5 / kEach, 4 / kEach, 3 / kEach, 2 / kEach,
                                         1 / kEach, 0);
  return _mm512_permutexvar_ps(_mm512_add_epi32(lanes, _mm512_set1_epi32(kFirst)), x);
}

#else  // AVX2 and portable: plain loops, which the compiler makes vectors of

struct u8x64 {
  std::uint8_t v[64];
};
#define HADAL_EACH_BYTE for (int i = 0; i < 64; ++i)
HADAL_INLINE u8x64 load_codes(const void* p) {
  u8x64 r;
  std::memcpy(r.v, p, 64);
  return r;
}
HADAL_INLINE void store_codes(std::uint8_t* p, const u8x64& x) {
  std::memcpy(p, x.v, 64);
}
HADAL_INLINE u8x64 join32(const void* p, const void* q) {
  u8x64 r;
  std::memcpy(r.v, p, 32);
  std::memcpy(r.v + 32, q, 32);
  return r;
}
HADAL_INLINE u8x64 twice32(const void* p) {
  return join32(p, p);
}
HADAL_INLINE u8x64 twice16(const void* p, const void* q) {
  u8x64 r;
  std::memcpy(r.v, p, 16);
  std::memcpy(r.v + 16, p, 16);
  std::memcpy(r.v + 32, q, 16);
  std::memcpy(r.v + 48, q, 16);
  return r;
}
template <int A, int B, int C, int D>
HADAL_INLINE u8x64 shift_right(u8x64 x) {
  for (int i = 0; i < 16; ++i) {
    x.v[i] = static_cast<std::uint8_t>(x.v[i] >> A);
    x.v[16 + i] = static_cast<std::uint8_t>(x.v[16 + i] >> B);
    x.v[32 + i] = static_cast<std::uint8_t>(x.v[32 + i] >> C);
    x.v[48 + i] = static_cast<std::uint8_t>(x.v[48 + i] >> D);
  }
  return x;
}
template <int N>
HADAL_INLINE u8x64 shift_left(u8x64 x) {
  HADAL_EACH_BYTE x.v[i] = static_cast<std::uint8_t>(x.v[i] << N);
  return x;
}
HADAL_INLINE u8x64 mask(u8x64 x, std::uint8_t bits) {
  HADAL_EACH_BYTE x.v[i] &= bits;
  return x;
}
HADAL_INLINE u8x64 either(u8x64 a, const u8x64& b) {
  HADAL_EACH_BYTE a.v[i] |= b.v[i];
  return a;
}
HADAL_INLINE u8x64 flip(u8x64 x, std::uint8_t bits) {
  HADAL_EACH_BYTE x.v[i] ^= bits;
  return x;
}
HADAL_INLINE u8x64 where(std::uint64_t bits, std::uint8_t value) {
  u8x64 r;
  HADAL_EACH_BYTE r.v[i] = (bits >> i & 1) ? value : 0;
  return r;
}
HADAL_INLINE u8x64 look_up(const std::uint8_t* table, u8x64 codes) {
  HADAL_EACH_BYTE codes.v[i] = table[codes.v[i]];
  return codes;
}
#undef HADAL_EACH_BYTE

struct i32x16 {
  std::int32_t v[16];
};
struct i16x32 {
  std::int16_t v[32];
};
struct i16x16 {
  std::int16_t v[16];
};
struct u8x16 {
  std::uint8_t v[16];
};
HADAL_INLINE i32x16 no_sum() {
  return {};
}
HADAL_INLINE i32x16 add_scaled_dot(i32x16 sum, const u8x64& codes, const std::int8_t* x, const i16x32& multipliers) {
#if defined(HADAL_SIMD_AVX2)
  for (int half = 0; half < 2; ++half) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes.v + 32 * half)),
                                               _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + 32 * half)));
    const __m256i scaled =
        _mm256_madd_epi16(pairs, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(multipliers.v + 16 * half)));
    auto* to = reinterpret_cast<__m256i*>(sum.v + 8 * half);
    _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), scaled));
  }
#else
  for (int i = 0; i < 32; ++i)
    sum.v[i / 2] += multipliers.v[i] * (codes.v[2 * i] * x[2 * i] + codes.v[2 * i + 1] * x[2 * i + 1]);
#endif
  return sum;
}
HADAL_INLINE f32x16 to_floats(const i32x16& x) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = static_cast<float>(x.v[i]);
  return load(lanes);
}
HADAL_INLINE f32x16 dot_whole(const i16x16& a, const std::int16_t* b) {
  float lanes[16] = {};
  for (int i = 0; i < 8; ++i) lanes[i] = static_cast<float>(a.v[2 * i] * b[2 * i] + a.v[2 * i + 1] * b[2 * i + 1]);
  return load(lanes);
}
HADAL_INLINE u8x16 bytes_of(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  const std::uint32_t words[4] = {a, b, c, d};
  u8x16 r;
  std::memcpy(r.v, words, 16);
  return r;
}
HADAL_INLINE u8x16 bytes_at(const void* p) {
  u8x16 r;
  std::memcpy(r.v, p, 16);
  return r;
}
HADAL_INLINE i16x16 signed_whole(const u8x16& x) {
  i16x16 r;
  for (int i = 0; i < 16; ++i) r.v[i] = static_cast<std::int8_t>(x.v[i]);
  return r;
}
HADAL_INLINE i16x16 minus(i16x16 a, int b) {
  for (int i = 0; i < 16; ++i) a.v[i] = static_cast<std::int16_t>(a.v[i] - b);
  return a;
}
HADAL_INLINE i16x16 upper_twice(const i16x16& x) {
  i16x16 r;
  for (int i = 0; i < 16; ++i) r.v[i] = x.v[8 + i / 2];
  return r;
}
template <int kFirst, int kRun>
HADAL_INLINE i16x32 multipliers(const i16x16& x) {
  i16x32 r;
  for (int i = 0; i < 32; ++i) r.v[i] = x.v[kFirst + 2 * i / kRun];
  return r;
}

#if defined(HADAL_SIMD_AVX2)
// Products of neighbours are summed in 16 bits, which codes up to 127 cannot overflow; the top bit is summed apart.
HADAL_INLINE __m256 dot_codes_half(const std::uint8_t* codes, const std::int8_t* x) {
  const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)),
                a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)), ones = _mm256_set1_epi16(1);
  const __m256i low = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_and_si256(w, _mm256_set1_epi8(0x7f)), a), ones);
  const __m256i top = _mm256_and_si256(_mm256_srli_epi16(w, 7), _mm256_set1_epi8(1));
  const __m256i high = _mm256_slli_epi32(_mm256_madd_epi16(_mm256_maddubs_epi16(top, a), ones), 7);
  return _mm256_cvtepi32_ps(_mm256_add_epi32(low, high));
}
HADAL_INLINE f32x16 dot_codes(const u8x64& codes, const std::int8_t* x) {
  return {dot_codes_half(codes.v, x), dot_codes_half(codes.v + 32, x + 32)};
}
HADAL_INLINE __m256 widen_codes_half(const std::uint8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
HADAL_INLINE f32x16 widen_codes(const std::uint8_t* p) {
  return {widen_codes_half(p), widen_codes_half(p + 8)};
}
#else
HADAL_INLINE f32x16 dot_codes(const u8x64& codes, const std::int8_t* x) {
  f32x16 r;
  for (int i = 0; i < 16; ++i) {
    int sum = 0;
    for (int j = 4 * i; j < 4 * i + 4; ++j) sum += codes.v[j] * x[j];
    r.v[i] = static_cast<float>(sum);
  }
  return r;
}
HADAL_INLINE f32x16 widen_codes(const std::uint8_t* p) {
  f32x16 r;
  for (int i = 0; i < 16; ++i) r.v[i] = static_cast<float>(p[i]);
  return r;
}
#endif
HADAL_INLINE f32x16 widen_whole(const i16x16& x) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = static_cast<float>(x.v[i]);
  return load(lanes);
}
HADAL_INLINE f32x16 widen_signed(const std::int8_t* p) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = static_cast<float>(p[i]);
  return load(lanes);
}
HADAL_INLINE void store_signed(std::int8_t* p, f32x16 x) {
  float lanes[16];
  store(lanes, x);
  for (int i = 0; i < 16; ++i) p[i] = static_cast<std::int8_t>(static_cast<int>(lanes[i]));
}
template <int kFirst, int kEach>
HADAL_INLINE f32x16 spread(f32x16 x) {
  float from[16], to[16];
  store(from, x);
  for (int i = 0; i < 16; ++i) to[i] = from[kFirst + i / kEach];
  return load(to);
}

#endif

// IEEE half precision.
HADAL_INLINE float half_at(const std::byte* p) {
  std::uint16_t bits;
  std::memcpy(&bits, p, 2);
#if defined(HADAL_SIMD_AVX512) || defined(HADAL_SIMD_AVX2)
  return _cvtsh_ss(bits);
#else
  // Shifted into place the exponent lacks 112; a product adds it, for subnormal numbers too.
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16, rest = static_cast<std::uint32_t>(bits & 0x7fffu) << 13;
  float magnitude;
  std::memcpy(&magnitude, &rest, 4);
  magnitude *= 0x1p112f;
  std::uint32_t u;
  std::memcpy(&u, &magnitude, 4);
  if (rest >= 0x0f800000u) u = rest | 0x7f800000u;  // infinity, NaN
  u |= sign;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
#endif
}

#if !defined(HADAL_SIMD_AVX512)
HADAL_INLINE f32x16 widen_words(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  const std::uint32_t words[4] = {a, b, c, d};
  std::uint8_t bytes[16];
  std::memcpy(bytes, words, 16);
  return widen_codes(bytes);
}
HADAL_INLINE f32x16 widen_halves(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t words[2] = {a, b};
  std::byte bytes[16];
  std::memcpy(bytes, words, 16);
  float lanes[16] = {};
  for (int i = 0; i < 8; ++i) lanes[i] = half_at(bytes + 2 * i);
  return load(lanes);
}
#endif

// Rows and columns of 16 x 16 change places.
HADAL_INLINE void transpose(f32x16 (&x)[16]) {
#if defined(HADAL_SIMD_AVX512)
  __m512 a[16], b[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {  // b[i + j]: column j of each 128-bit quarter, of rows i to i + 3
    b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {  // quarters q of rows 0..3, 4..7, ...
    const __m512 low02 = _mm512_shuffle_f32x4(b[j], b[4 + j], 0x88), low13 = _mm512_shuffle_f32x4(b[j], b[4 + j], 0xdd);
    const __m512 high02 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0x88),
                 high13 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0xdd);
    x[j] = _mm512_shuffle_f32x4(low02, high02, 0x88);
    x[8 + j] = _mm512_shuffle_f32x4(low02, high02, 0xdd);
    x[4 + j] = _mm512_shuffle_f32x4(low13, high13, 0x88);
    x[12 + j] = _mm512_shuffle_f32x4(low13, high13, 0xdd);
  }
#else
  float from[16][16], to[16][16];
  for (int i = 0; i < 16; ++i) store(from[i], x[i]);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) to[j][i] = from[i][j];
  for (int i = 0; i < 16; ++i) x[i] = load(to[i]);
#endif
}

}  // namespace hadal::HADAL_SIMD_NAMESPACE
