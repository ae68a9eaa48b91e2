// A few rows of x against four blocks of 256 at a time, for types whose runs of 32 values share a scale and lie in
// nibbles: each of sixteen lanes works on a run of 32, where a single block has but eight. So what a row of x costs
// beside its products of codes is halved, and scales are unpacked for four blocks at once.
// Included by simd/isa_*.cc.

namespace hadal::HADAL_SIMD_NAMESPACE {

// A unit has two parts: of each 32 bytes, which hold two runs, the low nibbles are in part 0 and the high ones in part
// 1. Lane 4 j + b works on pair of runs j of block b.
inline constexpr int kUnitBlocks = 4, kUnitValues = 256 * kUnitBlocks, kUnitPart = kUnitValues / 2;
constexpr int unit_lane(int block, int pair) {
  return 4 * pair + block;
}

// words[s] has in lane 4 j + b the s-th four bytes of that pair.
struct Unit {
  u8x64 words[8];
  f32x16 scales[2], minima[2];  // by part
};

// Row of x in the order of units, as far as they go; what is left as code_row() has it.
void code_units(const float* x, int k, const CodedRow& to) {
  int first = 0;
  for (; first + kUnitValues <= k; first += kUnitValues)
    for (int run = 0; run < kUnitValues / 32; ++run) {
      const CodedRun coded = code_run(x + first + 32 * run, 32);
      const int part = run % 2, lane = unit_lane(run / 8, run % 8 / 2);
      for (int s = 0; s < 8; ++s)
        std::memcpy(to.codes + first + kUnitPart * part + 64 * s + 4 * lane, coded.codes + 4 * s, 4);
      to.scales[first / 16 + 16 * part + lane] = coded.scale;
      to.sums[first / 16 + 16 * part + lane] = coded.sums[0] + coded.sums[1];
    }
  if (first < k) code_row(x + first, k - first, {to.codes + first, to.scales + first / 16, to.sums + first / 16});
}

// Types that come in units: unit_at(blocks).
template <class T>
struct InUnits {
  static constexpr bool kExists = false;
};

template <>
struct InUnits<Q4K> {
  static constexpr bool kExists = true;

  static HADAL_INLINE Unit unit_at(const std::byte* blocks) {
    constexpr int kBytes = Q4K::kBlockBytes;
    Unit unit;
#if defined(HADAL_SIMD_AVX512)
    // Quarter b: d and dmin of block b, then twelve bytes a, b, c of scales and minima (six_bits in
    // base/block_formats.cc).
    const auto header = [&](int b) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(blocks + b * kBytes)); };
    __m512i headers = _mm512_castsi128_si512(header(0));
    headers = _mm512_mask_broadcast_i32x4(headers, 0x00f0, header(1));
    headers = _mm512_mask_broadcast_i32x4(headers, 0x0f00, header(2));
    headers = _mm512_mask_broadcast_i32x4(headers, 0xf000, header(3));
    const auto words_of = [](int a, int b, int c, int d) { return _mm512_set4_epi32(d, c, b, a); };
    const __m512i ab = _mm512_shuffle_epi32(headers, static_cast<_MM_PERM_ENUM>(0x99)),
                  c = _mm512_shuffle_epi32(headers, static_cast<_MM_PERM_ENUM>(0xff));
    const __m512i low = _mm512_and_si512(ab, _mm512_set1_epi32(0x3f3f3f3f));
    const __m512i high =
        _mm512_or_si512(_mm512_and_si512(_mm512_srlv_epi32(c, words_of(0, 0, 0, 4)), _mm512_set1_epi32(0x0f0f0f0f)),
                        _mm512_and_si512(_mm512_srli_epi32(ab, 2), _mm512_set1_epi32(0x30303030)));
    // Quarter b: scales of runs 0 to 3, minima of these, scales of runs 4 to 7, minima of these.
    const __m512i packed = _mm512_mask_mov_epi32(low, 0xcccc, high);
    struct Index {
      alignas(64) std::int32_t words[16] = {};
      alignas(64) std::uint8_t bytes[2][64] = {};
      alignas(64) std::int16_t halves[32] = {};
    };
    static constexpr Index kIndex = [] {
      Index index;
      for (int b = 0; b < 4; ++b)
        for (int j = 0; j < 4; ++j) {
          const int lane = unit_lane(b, j);
          index.words[lane] = 4 * b + j / 2 * 2;
          index.halves[lane] = static_cast<std::int16_t>(8 * b);
          for (int part = 0; part < 2; ++part)
            for (int i = 0; i < 4; ++i)
              index.bytes[part][4 * lane + i] =
                  i == 0 ? static_cast<std::uint8_t>(lane % 4 * 4 + j % 2 * 2 + part) : 0x80;  // 0x80: a zero
        }
      return index;
    }();
    const __m512i words = _mm512_load_si512(kIndex.words), halves = _mm512_load_si512(kIndex.halves);
    const __m512i scales = _mm512_permutexvar_epi32(words, packed),
                  minima = _mm512_permutexvar_epi32(_mm512_add_epi32(words, _mm512_set1_epi32(1)), packed);
    const auto halves_at = [&](__m512i from) {
      return _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutexvar_epi16(from, headers)));
    };
    const __m512 d = halves_at(halves), dmin = halves_at(_mm512_add_epi16(halves, _mm512_set1_epi16(1)));
#pragma GCC unroll 2
    for (int part = 0; part < 2; ++part) {
      const __m512i bytes = _mm512_load_si512(kIndex.bytes[part]);
      unit.scales[part] = mul(to_floats(_mm512_shuffle_epi8(scales, bytes)), d);
      unit.minima[part] = mul(to_floats(_mm512_shuffle_epi8(minima, bytes)), dmin);
    }
    u8x64 halves_of[2][4];  // of the blocks
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
      for (int b = 0; b < 4; ++b) halves_of[half][b] = load_codes(blocks + b * kBytes + 16 + 64 * half);
      to_run_order(halves_of[half]);
    }
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      unit.words[s] = _mm512_shuffle_i32x4(halves_of[0][s], halves_of[1][s], 0x88);
      unit.words[4 + s] = _mm512_shuffle_i32x4(halves_of[0][s], halves_of[1][s], 0xdd);
    }
#else
    float scales[2][16], minima[2][16];
    for (int b = 0; b < 4; ++b) {
      const std::byte* block = blocks + b * kBytes;
      std::uint8_t packed[12];
      std::memcpy(packed, block + 4, 12);
      const float d = half_at(block), dmin = half_at(block + 2);
      for (int run = 0; run < 8; ++run) {
        const int i = run % 4, lane = unit_lane(b, run / 2);
        const int scale = run < 4 ? packed[i] & 63 : (packed[8 + i] & 15) | (packed[i] >> 6) << 4;
        const int minimum = run < 4 ? packed[4 + i] & 63 : packed[8 + i] >> 4 | (packed[4 + i] >> 6) << 4;
        scales[run % 2][lane] = static_cast<float>(scale) * d;
        minima[run % 2][lane] = static_cast<float>(minimum) * dmin;
      }
      for (int j = 0; j < 4; ++j)
        for (int s = 0; s < 8; ++s) std::memcpy(unit.words[s].v + 4 * unit_lane(b, j), block + 16 + 32 * j + 4 * s, 4);
    }
    for (int part = 0; part < 2; ++part) {
      unit.scales[part] = load(scales[part]);
      unit.minima[part] = load(minima[part]);
    }
#endif
    return unit;
  }
};

// sums[r] += 1024 values of W · row r of x.
template <class T, int M>
HADAL_INLINE void add_unit(const Unit& w, const CodedRow* x, int first, f32x16 (&sums)[M]) {
#pragma GCC unroll 2
  for (int part = 0; part < 2; ++part) {
    u8x64 codes[8];
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) codes[s] = mask(part == 0 ? w.words[s] : shift_right<4, 4, 4, 4>(w.words[s]), 0x0f);
#pragma GCC unroll 8
    for (int r = 0; r < M; ++r) {
      i32x16 dots[2] = {no_sum(), no_sum()};  // one chain of eight would be as long as the processor looks ahead
#pragma GCC unroll 8
      for (int s = 0; s < 8; ++s)
        dots[s % 2] = add_dot<T::kBelow128>(dots[s % 2], codes[s], x[r].codes + first + kUnitPart * part + 64 * s);
      const int at = first / 16 + 16 * part;
      sums[r] = fma(to_floats(add(dots[0], dots[1])), mul(w.scales[part], load(x[r].scales + at)), sums[r]);
      sums[r] = fma(w.minima[part], load(x[r].sums + at), sums[r]);
    }
  }
}

}  // namespace hadal::HADAL_SIMD_NAMESPACE
