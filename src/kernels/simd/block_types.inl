// How each block type of GGUF becomes codes, scales and offsets: the small struct a type that the kernels of stored.inl
// are written for. Layouts: base/block_formats.h and MODELS.md 9.3. Included by simd/isa_*.cc.
//
// 256 values of a row at a time, in their order: value = scale * code + offset, where the scale holds for a run of 16
// or 32 values. Types with blocks of 32 are taken eight blocks at once.

namespace hadal::HADAL_SIMD_NAMESPACE {

struct Codes {
  u8x64 codes[4];
  f32x16 scales;   // by run of kRun values; 8 lanes count where kRun is 32
  f32x16 offsets;  // by run of 16 values
};

// Scales that are whole numbers times one number a block: then products with 8-bit codes stay whole until the end of the
// block (types with kWhole). value = d * scale * code + dmin * offset, codes up to 127.
struct WholeCodes {
  u8x64 codes[4];
  i16x16 scales, offsets;  // scales by run of kRun, offsets by run of 16
  float d, dmin;
};

template <class T>
HADAL_INLINE Codes with_floats(const WholeCodes& w) {
  Codes r;
  for (int c = 0; c < 4; ++c) r.codes[c] = w.codes[c];
  r.scales = mul(widen_whole(w.scales), set1(w.d));
  r.offsets = mul(widen_whole(w.offsets), set1(w.dmin));
  return r;
}

// --- blocks of 256 ---------------------------------------------------------------------------------------------------

// Six-bit scales and minima of eight runs (Q4_K, Q5_K).
HADAL_INLINE void unpack_scales(const std::byte* block, WholeCodes& to) {
  std::uint32_t a, b, c;
  std::memcpy(&a, block + 4, 4);
  std::memcpy(&b, block + 8, 4);
  std::memcpy(&c, block + 12, 4);
  const i16x16 six_bits =
      signed_whole(bytes_of(a & 0x3f3f3f3fu, (c & 0x0f0f0f0fu) | (a >> 6 & 0x03030303u) << 4, b & 0x3f3f3f3fu,
                            (c >> 4 & 0x0f0f0f0fu) | (b >> 6 & 0x03030303u) << 4));
  to.scales = six_bits;
  to.offsets = upper_twice(six_bits);
  to.d = half_at(block);
  to.dmin = -half_at(block + 2);
}

struct Q4K {
  static constexpr int kBlockValues = 256, kBlockBytes = 144, kRun = 32;
  static constexpr bool kWhole = true;
  static HADAL_INLINE WholeCodes unpack(const std::byte* block) {
    WholeCodes r;
    unpack_scales(block, r);
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) r.codes[c] = mask(shift_right<0, 0, 4, 4>(twice32(block + 16 + 32 * c)), 0x0f);
    return r;
  }
};

struct Q5K {
  static constexpr int kBlockValues = 256, kBlockBytes = 176, kRun = 32;
  static constexpr bool kWhole = true;
  static HADAL_INLINE WholeCodes unpack(const std::byte* block) {
    WholeCodes r;
    unpack_scales(block, r);
    const u8x64 high = twice32(block + 16);
    const std::byte* low = block + 48;
    r.codes[0] = either(mask(shift_right<0, 0, 4, 4>(twice32(low)), 0x0f), shift_left<4>(mask(shift_right<0, 0, 1, 1>(high), 1)));
    r.codes[1] = either(mask(shift_right<0, 0, 4, 4>(twice32(low + 32)), 0x0f), shift_left<4>(mask(shift_right<2, 2, 3, 3>(high), 1)));
    r.codes[2] = either(mask(shift_right<0, 0, 4, 4>(twice32(low + 64)), 0x0f), shift_left<4>(mask(shift_right<4, 4, 5, 5>(high), 1)));
    r.codes[3] = either(mask(shift_right<0, 0, 4, 4>(twice32(low + 96)), 0x0f), shift_left<4>(mask(shift_right<6, 6, 7, 7>(high), 1)));
    return r;
  }
};

struct Q6K {
  static constexpr int kBlockValues = 256, kBlockBytes = 210, kRun = 16;
  static constexpr bool kWhole = true;
  static HADAL_INLINE WholeCodes unpack(const std::byte* block) {
    WholeCodes r;
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const u8x64 low = load_codes(block + 64 * half), high = twice32(block + 128 + 32 * half);
      r.codes[2 * half] = either(mask(low, 0x0f), shift_left<4>(mask(shift_right<0, 0, 2, 2>(high), 3)));
      r.codes[2 * half + 1] = either(mask(shift_right<4, 4, 4, 4>(low), 0x0f), shift_left<4>(mask(shift_right<4, 4, 6, 6>(high), 3)));
    }
    r.scales = r.offsets = signed_whole(bytes_at(block + 192));
    r.d = half_at(block + 208);
    r.dmin = -32.0f * r.d;
    return r;
  }
};

// Two bits a value, 32 bytes for 128 values (Q2_K, Q3_K).
HADAL_INLINE void unpack_pairs_of_bits(const std::byte* block, u8x64 (&codes)[4]) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const u8x64 bits = twice32(block + 32 * half);
    codes[2 * half] = mask(shift_right<0, 0, 2, 2>(bits), 3);
    codes[2 * half + 1] = mask(shift_right<4, 4, 6, 6>(bits), 3);
  }
}

struct Q2K {
  static constexpr int kBlockValues = 256, kBlockBytes = 84, kRun = 16;
  static constexpr bool kWhole = true;
  static HADAL_INLINE WholeCodes unpack(const std::byte* block) {
    WholeCodes r;
    unpack_pairs_of_bits(block + 16, r.codes);
    std::uint32_t words[4];
    std::memcpy(words, block, 16);
    constexpr std::uint32_t kLow = 0x0f0f0f0fu;
    r.scales = signed_whole(bytes_of(words[0] & kLow, words[1] & kLow, words[2] & kLow, words[3] & kLow));
    r.offsets = signed_whole(
        bytes_of(words[0] >> 4 & kLow, words[1] >> 4 & kLow, words[2] >> 4 & kLow, words[3] >> 4 & kLow));
    r.d = half_at(block + 80);
    r.dmin = -half_at(block + 82);
    return r;
  }
};

struct Q3K {
  static constexpr int kBlockValues = 256, kBlockBytes = 110, kRun = 16;
  static constexpr bool kWhole = true;
  static HADAL_INLINE WholeCodes unpack(const std::byte* block) {
    WholeCodes r;
    unpack_pairs_of_bits(block + 32, r.codes);
    const u8x64 top = twice32(block);
    r.codes[0] = either(r.codes[0], shift_left<2>(mask(shift_right<0, 0, 1, 1>(top), 1)));
    r.codes[1] = either(r.codes[1], shift_left<2>(mask(shift_right<2, 2, 3, 3>(top), 1)));
    r.codes[2] = either(r.codes[2], shift_left<2>(mask(shift_right<4, 4, 5, 5>(top), 1)));
    r.codes[3] = either(r.codes[3], shift_left<2>(mask(shift_right<6, 6, 7, 7>(top), 1)));
    std::uint32_t a, b, t;
    std::memcpy(&a, block + 96, 4);
    std::memcpy(&b, block + 100, 4);
    std::memcpy(&t, block + 104, 4);
    const u8x16 six_bits =
        bytes_of((a & 0x0f0f0f0fu) | (t & 0x03030303u) << 4, (b & 0x0f0f0f0fu) | (t >> 2 & 0x03030303u) << 4,
                 (a >> 4 & 0x0f0f0f0fu) | (t >> 4 & 0x03030303u) << 4, (b >> 4 & 0x0f0f0f0fu) | (t >> 6 & 0x03030303u) << 4);
    r.scales = r.offsets = minus(signed_whole(six_bits), 32);
    r.d = half_at(block + 108);
    r.dmin = -4.0f * r.d;
    return r;
  }
};

inline constexpr std::uint8_t kIq4Values[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};  // + 128

struct Iq4Xs {
  static constexpr int kBlockValues = 256, kBlockBytes = 136, kRun = 32;
  static constexpr bool kWhole = false;
  static HADAL_INLINE Codes unpack(const std::byte* block) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c)
      r.codes[c] = look_up(kIq4Values, mask(shift_right<0, 4, 0, 4>(twice16(block + 8 + 32 * c, block + 24 + 32 * c)), 0x0f));
    // Four bits of each scale lie together, and two bits of each: to a byte each.
    std::uint16_t high_bits;
    std::uint32_t low_bits;
    std::memcpy(&high_bits, block + 2, 2);
    std::memcpy(&low_bits, block + 4, 4);
    std::uint64_t low = low_bits, high = high_bits;
    low = (low | low << 16) & 0x0000ffff0000ffffu;
    low = (low | low << 8) & 0x00ff00ff00ff00ffu;
    low = (low | low << 4) & 0x0f0f0f0f0f0f0f0fu;
    high = (high | high << 24) & 0x000000ff000000ffu;
    high = (high | high << 12) & 0x000f000f000f000fu;
    high = (high | high << 6) & 0x0303030303030303u;
    const std::uint64_t scales = low | high << 4;
    const f32x16 six_bits = widen_words(static_cast<std::uint32_t>(scales), static_cast<std::uint32_t>(scales >> 32), 0, 0);
    r.scales = mul(sub(six_bits, set1(32.0f)), set1(half_at(block)));
    r.offsets = mul(spread<0, 2>(r.scales), set1(-128.0f));
    return r;
  }
};

// --- blocks of 32, eight at once -------------------------------------------------------------------------------------

// Half-precision numbers that lie `stride` bytes apart.
HADAL_INLINE f32x16 eight_halves(const std::byte* first, int stride) {
  std::uint64_t words[2] = {0, 0};
#pragma GCC unroll 2
  for (int w = 0; w < 2; ++w)
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      std::uint16_t half;
      std::memcpy(&half, first + (4 * w + i) * stride, 2);
      words[w] |= static_cast<std::uint64_t>(half) << 16 * i;
    }
  return widen_halves(words[0], words[1]);
}

// Sixteen bytes hold values 0 to 15 in their low nibbles, 16 to 31 in the high ones.
template <int kStride>
HADAL_INLINE u8x64 two_blocks_of_nibbles(const std::byte* nibbles) {
  return mask(shift_right<0, 4, 0, 4>(twice16(nibbles, nibbles + kStride)), 0x0f);
}

struct Q40 {
  static constexpr int kBlockValues = 32, kBlockBytes = 18, kRun = 32;
  static constexpr bool kWhole = false;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) r.codes[c] = two_blocks_of_nibbles<kBlockBytes>(blocks + 2 * c * kBlockBytes + 2);
    r.scales = eight_halves(blocks, kBlockBytes);
    r.offsets = mul(spread<0, 2>(r.scales), set1(-8.0f));
    return r;
  }
};

struct Q41 {
  static constexpr int kBlockValues = 32, kBlockBytes = 20, kRun = 32;
  static constexpr bool kWhole = false;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) r.codes[c] = two_blocks_of_nibbles<kBlockBytes>(blocks + 2 * c * kBlockBytes + 4);
    r.scales = eight_halves(blocks, kBlockBytes);
    r.offsets = spread<0, 2>(eight_halves(blocks + 2, kBlockBytes));
    return r;
  }
};

// The fifth bits of two blocks, bit i of value i.
HADAL_INLINE u8x64 fifth_bits(const std::byte* first, const std::byte* second) {
  std::uint32_t low, high;
  std::memcpy(&low, first, 4);
  std::memcpy(&high, second, 4);
  return where(static_cast<std::uint64_t>(high) << 32 | low, 16);
}

struct Q50 {
  static constexpr int kBlockValues = 32, kBlockBytes = 22, kRun = 32;
  static constexpr bool kWhole = false;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const std::byte* block = blocks + 2 * c * kBlockBytes;
      r.codes[c] = either(two_blocks_of_nibbles<kBlockBytes>(block + 6), fifth_bits(block + 2, block + kBlockBytes + 2));
    }
    r.scales = eight_halves(blocks, kBlockBytes);
    r.offsets = mul(spread<0, 2>(r.scales), set1(-16.0f));
    return r;
  }
};

struct Q51 {
  static constexpr int kBlockValues = 32, kBlockBytes = 24, kRun = 32;
  static constexpr bool kWhole = false;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const std::byte* block = blocks + 2 * c * kBlockBytes;
      r.codes[c] = either(two_blocks_of_nibbles<kBlockBytes>(block + 8), fifth_bits(block + 4, block + kBlockBytes + 4));
    }
    r.scales = eight_halves(blocks, kBlockBytes);
    r.offsets = spread<0, 2>(eight_halves(blocks + 2, kBlockBytes));
    return r;
  }
};

struct Q80 {
  static constexpr int kBlockValues = 32, kBlockBytes = 34, kRun = 32;
  static constexpr bool kWhole = false;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const std::byte* block = blocks + 2 * c * kBlockBytes;
      r.codes[c] = flip(join32(block + 2, block + kBlockBytes + 2), 0x80);  // -128..127 becomes 0..255
    }
    r.scales = eight_halves(blocks, kBlockBytes);
    r.offsets = mul(spread<0, 2>(r.scales), set1(-128.0f));
    return r;
  }
};

struct Iq4Nl {
  static constexpr int kBlockValues = 32, kBlockBytes = 18, kRun = 32;
  static constexpr bool kWhole = false;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c)
      r.codes[c] = look_up(kIq4Values, two_blocks_of_nibbles<kBlockBytes>(blocks + 2 * c * kBlockBytes + 2));
    r.scales = eight_halves(blocks, kBlockBytes);
    r.offsets = mul(spread<0, 2>(r.scales), set1(-128.0f));
    return r;
  }
};

// 2^(e - 128) for whole e from 0 to 255, in two factors: the smallest are subnormal.
HADAL_INLINE f32x16 power_of_two(f32x16 e) {
  return mul(exp2_whole(sub(max(e, set1(64.0f)), set1(128.0f))), exp2_whole(min(sub(e, set1(64.0f)), zero())));
}

inline constexpr std::uint8_t kMxfp4Values[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};  // + 12

struct Mxfp4 {
  static constexpr int kBlockValues = 32, kBlockBytes = 17, kRun = 32;
  static constexpr bool kWhole = false;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c)
      r.codes[c] = look_up(kMxfp4Values, two_blocks_of_nibbles<kBlockBytes>(blocks + 2 * c * kBlockBytes + 1));
    std::uint32_t words[2] = {0, 0};
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) words[i / 4] |= static_cast<std::uint32_t>(blocks[i * kBlockBytes]) << 8 * (i % 4);
    r.scales = power_of_two(widen_words(words[0], words[1], 128, 128));  // 2^(e - 128)
    r.offsets = mul(spread<0, 2>(r.scales), set1(-12.0f));
    return r;
  }
};

}  // namespace hadal::HADAL_SIMD_NAMESPACE
