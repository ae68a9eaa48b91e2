// Sixty-four bytes at once, for weights that are stored as small codes: unpacking nibbles and bits, and products with
// 8-bit activations. Companion of vec.h, under the same rules: included by simd/isa_*.cc only, the same bits on every
// instruction set (integer sums are exact; lane i of a product sums bytes 4i to 4i + 3).
#pragma once

#include "kernels/simd/vec.h"

namespace hadal::HADAL_SIMD_NAMESPACE {

// 256 values are sixteen runs of 16, and each of sixteen lanes works on one of them: products of codes need no sum
// across lanes, and scales are vectors in that order. Codes come in four registers, four runs in each as the types'
// nibbles lie: run 0 of 32 values beside run 2, 1 beside 3, 4 beside 6, 5 beside 7. to_run_order() makes of them the
// first four codes of all runs, the next four, and so on. Activations are stored in that order (code_row).
constexpr int run_register(int run_of_16) {
  return run_of_16 / 8 * 2 + run_of_16 / 2 % 2;
}
constexpr int run_quarter(int run_of_16) {
  return run_of_16 % 8 / 4 * 2 + run_of_16 % 2;
}
constexpr int run_lane(int run_of_16) {
  return 4 * run_quarter(run_of_16) + run_register(run_of_16);
}
// The first of the two runs of 32 in register c; the other is the next but one.
constexpr int first_run_of_32(int c) {
  return c / 2 * 4 + c % 2;
}
// Where each lane takes the number of its run of kRun values (16 or 32) from: first + stride * run.
template <class T>
struct RunOrder {
  T index[16] = {};
  constexpr RunOrder(int run, int first, int stride) {
    for (int i = 0; i < 16; ++i) index[run_lane(i)] = static_cast<T>(first + stride * (16 * i / run));
  }
};

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
  alignas(64) static constexpr short kCounts[32] = {A, A, A, A, A, A, A, A, B, B, B, B, B, B, B, B,
                                                    C, C, C, C, C, C, C, C, D, D, D, D, D, D, D, D};
  const __m512i counts = _mm512_load_si512(kCounts);
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
// x plus `value` in each byte whose bit is set.
HADAL_INLINE u8x64 add_where(u8x64 x, std::uint64_t bits, std::uint8_t value) {
  return _mm512_mask_add_epi8(x, bits, x, _mm512_set1_epi8(static_cast<char>(value)));
}
// table[code] of codes below 16.
HADAL_INLINE u8x64 look_up(const std::uint8_t* table, u8x64 codes) {
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table))), codes);
}
using i32x16 = __m512i;
HADAL_INLINE i32x16 no_sum() {
  return _mm512_setzero_si512();
}
// Lane i of the sum += the products of bytes 4i to 4i + 3.
template <bool kBelow128>
HADAL_INLINE i32x16 add_dot(i32x16 sum, u8x64 codes, const std::int8_t* x) {
  return _mm512_dpbusd_epi32(sum, codes, _mm512_loadu_si512(x));
}
HADAL_INLINE i32x16 add(i32x16 a, i32x16 b) {
  return _mm512_add_epi32(a, b);
}
// add_dot with the four bytes at x in every lane.
template <bool kBelow128>
HADAL_INLINE i32x16 add_dot_of_four(i32x16 sum, u8x64 codes, const std::int8_t* x) {
  std::int32_t four;
  std::memcpy(&four, x, 4);
  return _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(four));
}
HADAL_INLINE f32x16 to_floats(i32x16 x) {
  return _mm512_cvtepi32_ps(x);
}
// Byte kByte of each word.
template <int kByte>
HADAL_INLINE f32x16 byte_of_words(u8x64 x) {
  return to_floats(_mm512_and_si512(_mm512_srli_epi32(x, 8 * kByte), _mm512_set1_epi32(0xff)));
}
template <int kByte>
HADAL_INLINE f32x16 signed_byte_of_words(u8x64 x) {
  return to_floats(_mm512_srai_epi32(_mm512_slli_epi32(x, 24 - 8 * kByte), 24));
}
// Four words of each quarter of four registers change places.
HADAL_INLINE void to_run_order(u8x64 (&codes)[4]) {
  const __m512i low01 = _mm512_unpacklo_epi32(codes[0], codes[1]), high01 = _mm512_unpackhi_epi32(codes[0], codes[1]);
  const __m512i low23 = _mm512_unpacklo_epi32(codes[2], codes[3]), high23 = _mm512_unpackhi_epi32(codes[2], codes[3]);
  codes[0] = _mm512_unpacklo_epi64(low01, low23);
  codes[1] = _mm512_unpackhi_epi64(low01, low23);
  codes[2] = _mm512_unpacklo_epi64(high01, high23);
  codes[3] = _mm512_unpackhi_epi64(high01, high23);
}
struct u8x16 {
  __m128i v;
};
HADAL_INLINE u8x16 bytes_of(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return {_mm_set_epi32(static_cast<int>(d), static_cast<int>(c), static_cast<int>(b), static_cast<int>(a))};
}
HADAL_INLINE u8x16 bytes_at(const void* p) {
  return {_mm_loadu_si128(static_cast<const __m128i*>(p))};
}
// Sixteen bytes, one for each run.
HADAL_INLINE u8x16 in_run_order(u8x16 x) {
  alignas(16) static constexpr RunOrder<std::uint8_t> kFrom{16, 0, 1};
  return {_mm_shuffle_epi8(x.v, _mm_load_si128(reinterpret_cast<const __m128i*>(kFrom.index)))};
}
// Eight bytes, one for each run of 32 values, in run order: every quarter has all of them and picks four.
HADAL_INLINE f32x16 widen_eight(std::uint64_t bytes) {
  struct Index {
    alignas(64) std::uint8_t from[64] = {};
  };
  static constexpr Index kIndex = [] {
    Index index;
    const RunOrder<std::uint8_t> order{32, 0, 1};
    for (int i = 0; i < 64; ++i) index.from[i] = i % 4 == 0 ? order.index[i / 4] : 0x80;  // 0x80: a zero
    return index;
  }();
  const __m512i everywhere = _mm512_set1_epi64(static_cast<std::int64_t>(bytes));
  return _mm512_cvtepi32_ps(_mm512_shuffle_epi8(everywhere, _mm512_load_si512(kIndex.from)));
}
HADAL_INLINE f32x16 widen_signed(u8x16 x) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x.v));
}
HADAL_INLINE f32x16 widen_codes(const std::uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes_at(p).v));
}
// Whole numbers from -128 to 127.
HADAL_INLINE void store_signed(std::int8_t* p, f32x16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
}
// Eight half-precision numbers that lie kStride bytes apart, the first kOffset bytes from p, in run order for runs
// of 32. Reads 8 * kStride bytes: words of the first 128 bytes, and of the last.
template <int kStride, int kOffset>
HADAL_INLINE f32x16 strided_halves(const std::byte* p) {
  static_assert(kStride % 2 == 0 && 8 * kStride >= 128);
  static constexpr int kLast = kStride < 32 ? 4 * kStride - 64 : 64;
  struct Words {
    alignas(32) short first[16] = {}, last[16] = {};
    int in_last = 0;
  };
  static constexpr Words kWords = [] {
    Words w;
    const RunOrder<short> from{32, kOffset / 2, kStride / 2};
    for (int i = 0; i < 16; ++i) {
      if (from.index[i] < 64) {
        w.first[i] = from.index[i];
      } else {
        w.last[i] = static_cast<short>(from.index[i] - kLast);
        w.in_last |= 1 << i;
      }
    }
    return w;
  }();
  const auto pick = [](const std::byte* from, const short* words) {
    const __m512i lanes = _mm512_castsi256_si512(_mm256_load_si256(reinterpret_cast<const __m256i*>(words)));
    return _mm512_castsi512_si256(
        _mm512_permutex2var_epi16(_mm512_loadu_si512(from), lanes, _mm512_loadu_si512(from + 64)));
  };
  __m256i halves = pick(p, kWords.first);
  if constexpr (kWords.in_last != 0)
    halves = _mm256_mask_blend_epi16(static_cast<__mmask16>(kWords.in_last), halves, pick(p + 2 * kLast, kWords.last));
  return _mm512_cvtph_ps(halves);
}
HADAL_INLINE f32x16 half_everywhere(const std::byte* p) {
  std::uint16_t bits;
  std::memcpy(&bits, p, 2);
  return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<short>(bits)));
}
HADAL_INLINE float half_at(const std::byte* p) {
  std::uint16_t bits;
  std::memcpy(&bits, p, 2);
  return _cvtsh_ss(bits);
}
// In each word, bits of the mask change places with those `shift` above them.
HADAL_INLINE u8x64 exchange_bits(u8x64 x, int shift, std::uint32_t mask) {
  const __m128i count = _mm_cvtsi32_si128(shift);
  const __m512i moved =
      _mm512_and_si512(_mm512_xor_si512(x, _mm512_srl_epi32(x, count)), _mm512_set1_epi32(static_cast<int>(mask)));
  return _mm512_xor_si512(x, _mm512_xor_si512(moved, _mm512_sll_epi32(moved, count)));
}
// Sixteen half-precision numbers one after another.
HADAL_INLINE f32x16 halves_at(const std::byte* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
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
HADAL_INLINE u8x64 add_where(u8x64 x, std::uint64_t bits, std::uint8_t value) {
  HADAL_EACH_BYTE x.v[i] = static_cast<std::uint8_t>(x.v[i] + ((bits >> i & 1) ? value : 0));
  return x;
}
HADAL_INLINE u8x64 look_up(const std::uint8_t* table, u8x64 codes) {
  HADAL_EACH_BYTE codes.v[i] = table[codes.v[i]];
  return codes;
}
#undef HADAL_EACH_BYTE

struct i32x16 {
  std::int32_t v[16];
};
HADAL_INLINE i32x16 no_sum() {
  return {};
}
template <bool kBelow128>
HADAL_INLINE i32x16 add_dot(i32x16 sum, const u8x64& codes, const std::int8_t* x) {
#if defined(HADAL_SIMD_AVX2)
  // Products of neighbours are summed in 16 bits, which codes up to 127 cannot overflow; a top bit is summed apart.
  for (int half = 0; half < 2; ++half) {
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes.v + 32 * half)),
                  a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + 32 * half)), ones = _mm256_set1_epi16(1);
    __m256i dot =
        _mm256_madd_epi16(_mm256_maddubs_epi16(kBelow128 ? w : _mm256_and_si256(w, _mm256_set1_epi8(0x7f)), a), ones);
    if (!kBelow128) {
      const __m256i top = _mm256_and_si256(_mm256_srli_epi16(w, 7), _mm256_set1_epi8(1));
      dot = _mm256_add_epi32(dot, _mm256_slli_epi32(_mm256_madd_epi16(_mm256_maddubs_epi16(top, a), ones), 7));
    }
    auto* to = reinterpret_cast<__m256i*>(sum.v + 8 * half);
    _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), dot));
  }
#else
  for (int i = 0; i < 64; ++i) sum.v[i / 4] += codes.v[i] * x[i];
#endif
  return sum;
}
HADAL_INLINE i32x16 add(i32x16 a, const i32x16& b) {
  for (int i = 0; i < 16; ++i) a.v[i] += b.v[i];
  return a;
}
HADAL_INLINE f32x16 to_floats(const i32x16& x) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = static_cast<float>(x.v[i]);
  return load(lanes);
}
HADAL_INLINE void to_run_order(u8x64 (&codes)[4]) {
  u8x64 from[4];
  std::memcpy(from, codes, sizeof from);
  for (int step = 0; step < 4; ++step)
    for (int lane = 0; lane < 16; ++lane)
      std::memcpy(codes[step].v + 4 * lane, from[lane % 4].v + 16 * (lane / 4) + 4 * step, 4);
}
struct u8x16 {
  std::uint8_t v[16];
};
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
HADAL_INLINE u8x16 in_run_order(const u8x16& x) {
  static constexpr RunOrder<std::uint8_t> kFrom{16, 0, 1};
  u8x16 r;
  for (int i = 0; i < 16; ++i) r.v[i] = x.v[kFrom.index[i]];
  return r;
}
HADAL_INLINE f32x16 widen_eight(std::uint64_t bytes) {
  static constexpr RunOrder<std::uint8_t> kFrom{32, 0, 8};
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = static_cast<float>(bytes >> kFrom.index[i] & 0xff);
  return load(lanes);
}
HADAL_INLINE f32x16 widen_signed(const u8x16& x) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = static_cast<float>(static_cast<std::int8_t>(x.v[i]));
  return load(lanes);
}
HADAL_INLINE f32x16 widen_codes(const std::uint8_t* p) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = static_cast<float>(p[i]);
  return load(lanes);
}
HADAL_INLINE void store_signed(std::int8_t* p, f32x16 x) {
  float lanes[16];
  store(lanes, x);
  for (int i = 0; i < 16; ++i) p[i] = static_cast<std::int8_t>(static_cast<int>(lanes[i]));
}
HADAL_INLINE float half_at(const std::byte* p) {
  std::uint16_t bits;
  std::memcpy(&bits, p, 2);
#if defined(HADAL_SIMD_AVX2)
  return _cvtsh_ss(bits);
#else
  // Shifted into place the exponent lacks 112; a product adds it, for subnormal numbers too.
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16,
                      rest = static_cast<std::uint32_t>(bits & 0x7fffu) << 13;
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
template <int kStride, int kOffset>
HADAL_INLINE f32x16 strided_halves(const std::byte* p) {
  static constexpr RunOrder<short> kFrom{32, kOffset, kStride};
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = half_at(p + kFrom.index[i]);
  return load(lanes);
}
HADAL_INLINE f32x16 half_everywhere(const std::byte* p) {
  return set1(half_at(p));
}

#endif

// Half precision, to nearest, ties to even.
HADAL_INLINE std::uint16_t half_bits(float x) {
#if defined(HADAL_SIMD_PORTABLE)
  return to_f16(x).bits;
#else
  return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
#endif
}

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
