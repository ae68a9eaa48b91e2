// How each block type of GGUF becomes codes, scales and minima: the small struct a type that the kernels of stored.inl
// are written for. Layouts: base/block_formats.h and MODELS.md 9.3. Included by simd/isa_*.cc.
//
// 256 values of a row at a time, in their order: value = scale * code - minimum, where both hold for a run of 16 values
// and lie in run order (codes.h). Types with blocks of 32 are taken eight blocks at once.

namespace hadal::HADAL_SIMD_NAMESPACE {

struct Codes {
  u8x64 codes[4];
  f32x16 scales, minima;
};

// --- blocks of 256 ---------------------------------------------------------------------------------------------------

// Six-bit scales and minima of eight runs (Q4_K, Q5_K).
HADAL_INLINE void unpack_scales(const std::byte* block, Codes& to) {
  std::uint32_t a, b, c;
  std::memcpy(&a, block + 4, 4);
  std::memcpy(&b, block + 8, 4);
  std::memcpy(&c, block + 12, 4);
  const auto eight = [](std::uint32_t low_bits, std::uint32_t first, std::uint32_t nibbles) {
    const std::uint32_t last = (nibbles & 0x0f0f0f0fu) | (first >> 2 & 0x30303030u);
    return widen_eight(static_cast<std::uint64_t>(last) << 32 | low_bits);
  };
  to.scales = mul(eight(a & 0x3f3f3f3fu, a, c), half_everywhere(block));
  to.minima = mul(eight(b & 0x3f3f3f3fu, b, c >> 4), half_everywhere(block + 2));
}

HADAL_INLINE void unpack_nibbles(const std::byte* from, u8x64 (&codes)[4]) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const u8x64 bits = load_codes(from + 64 * half);
    codes[2 * half] = mask(bits, 0x0f);
    codes[2 * half + 1] = mask(shift_right<4, 4, 4, 4>(bits), 0x0f);
  }
}

struct Q4K {
  static constexpr int kBlockValues = 256, kBlockBytes = 144;
  static constexpr bool kBelow128 = true;
  static HADAL_INLINE Codes unpack(const std::byte* block) {
    Codes r;
    unpack_scales(block, r);
    unpack_nibbles(block + 16, r.codes);
    return r;
  }
};

struct Q5K {
  static constexpr int kBlockValues = 256, kBlockBytes = 176;
  static constexpr bool kBelow128 = true;
  static HADAL_INLINE Codes unpack(const std::byte* block) {
    Codes r;
    unpack_scales(block, r);
    unpack_nibbles(block + 48, r.codes);
    const u8x64 high = twice32(block + 16);
    r.codes[0] = either(r.codes[0], shift_left<4>(mask(shift_right<0, 0, 2, 2>(high), 1)));
    r.codes[1] = either(r.codes[1], shift_left<4>(mask(shift_right<1, 1, 3, 3>(high), 1)));
    r.codes[2] = either(r.codes[2], shift_left<4>(mask(shift_right<4, 4, 6, 6>(high), 1)));
    r.codes[3] = either(r.codes[3], shift_left<4>(mask(shift_right<5, 5, 7, 7>(high), 1)));
    return r;
  }
};

struct Q6K {
  static constexpr int kBlockValues = 256, kBlockBytes = 210;
  static constexpr bool kBelow128 = true;
  static HADAL_INLINE Codes unpack(const std::byte* block) {
    Codes r;
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const std::byte* low = block + 64 * half;
      const u8x64 high = twice32(block + 128 + 32 * half);
      r.codes[2 * half] = either(mask(shift_right<0, 0, 4, 4>(twice32(low)), 0x0f),
                                 shift_left<4>(mask(shift_right<0, 0, 4, 4>(high), 3)));
      r.codes[2 * half + 1] = either(mask(shift_right<0, 0, 4, 4>(twice32(low + 32)), 0x0f),
                                     shift_left<4>(mask(shift_right<2, 2, 6, 6>(high), 3)));
    }
    r.scales = mul(widen_signed(in_run_order(bytes_at(block + 192))), half_everywhere(block + 208));
    r.minima = mul(r.scales, set1(32.0f));
    return r;
  }
};

// Two bits a value, 32 bytes for 128 values (Q2_K, Q3_K).
HADAL_INLINE void unpack_pairs_of_bits(const std::byte* block, u8x64 (&codes)[4]) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const u8x64 bits = twice32(block + 32 * half);
    codes[2 * half] = mask(shift_right<0, 0, 4, 4>(bits), 3);
    codes[2 * half + 1] = mask(shift_right<2, 2, 6, 6>(bits), 3);
  }
}

struct Q2K {
  static constexpr int kBlockValues = 256, kBlockBytes = 84;
  static constexpr bool kBelow128 = true;
  static HADAL_INLINE Codes unpack(const std::byte* block) {
    Codes r;
    unpack_pairs_of_bits(block + 16, r.codes);
    std::uint32_t words[4];
    std::memcpy(words, block, 16);
    constexpr std::uint32_t kLow = 0x0f0f0f0fu;
    const u8x16 scales = bytes_of(words[0] & kLow, words[1] & kLow, words[2] & kLow, words[3] & kLow);
    const u8x16 minima =
        bytes_of(words[0] >> 4 & kLow, words[1] >> 4 & kLow, words[2] >> 4 & kLow, words[3] >> 4 & kLow);
    r.scales = mul(widen_signed(in_run_order(scales)), half_everywhere(block + 80));
    r.minima = mul(widen_signed(in_run_order(minima)), half_everywhere(block + 82));
    return r;
  }
};

struct Q3K {
  static constexpr int kBlockValues = 256, kBlockBytes = 110;
  static constexpr bool kBelow128 = true;
  static HADAL_INLINE Codes unpack(const std::byte* block) {
    Codes r;
    unpack_pairs_of_bits(block + 32, r.codes);
    const u8x64 top = twice32(block);
    r.codes[0] = either(r.codes[0], shift_left<2>(mask(shift_right<0, 0, 2, 2>(top), 1)));
    r.codes[1] = either(r.codes[1], shift_left<2>(mask(shift_right<1, 1, 3, 3>(top), 1)));
    r.codes[2] = either(r.codes[2], shift_left<2>(mask(shift_right<4, 4, 6, 6>(top), 1)));
    r.codes[3] = either(r.codes[3], shift_left<2>(mask(shift_right<5, 5, 7, 7>(top), 1)));
    std::uint32_t a, b, t;
    std::memcpy(&a, block + 96, 4);
    std::memcpy(&b, block + 100, 4);
    std::memcpy(&t, block + 104, 4);
    const u8x16 six_bits = bytes_of(
        (a & 0x0f0f0f0fu) | (t & 0x03030303u) << 4, (b & 0x0f0f0f0fu) | (t >> 2 & 0x03030303u) << 4,
        (a >> 4 & 0x0f0f0f0fu) | (t >> 4 & 0x03030303u) << 4, (b >> 4 & 0x0f0f0f0fu) | (t >> 6 & 0x03030303u) << 4);
    r.scales = mul(sub(widen_signed(in_run_order(six_bits)), set1(32.0f)), half_everywhere(block + 108));
    r.minima = mul(r.scales, set1(4.0f));
    return r;
  }
};

// Sixteen bytes hold values 0 to 15 in their low nibbles, 16 to 31 in the high ones; so do those two blocks on.
template <int kStride>
HADAL_INLINE u8x64 two_blocks_of_nibbles(const std::byte* nibbles) {
  return mask(shift_right<0, 4, 0, 4>(twice16(nibbles, nibbles + 2 * kStride)), 0x0f);
}

inline constexpr std::uint8_t kIq4Values[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                                129, 141, 153, 166, 181, 197, 217, 241};  // + 128

struct Iq4Xs {
  static constexpr int kBlockValues = 256, kBlockBytes = 136;
  static constexpr bool kBelow128 = false;
  static HADAL_INLINE Codes unpack(const std::byte* block) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c)
      r.codes[c] = look_up(kIq4Values, two_blocks_of_nibbles<16>(block + 8 + 16 * first_run_of_32(c)));
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
    r.scales = mul(sub(widen_eight(scales), set1(32.0f)), half_everywhere(block));
    r.minima = mul(r.scales, set1(128.0f));
    return r;
  }
};

// --- blocks of 32, eight at once -------------------------------------------------------------------------------------

struct Q40 {
  static constexpr int kBlockValues = 32, kBlockBytes = 18;
  static constexpr bool kBelow128 = true;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c)
      r.codes[c] = two_blocks_of_nibbles<kBlockBytes>(blocks + first_run_of_32(c) * kBlockBytes + 2);
    r.scales = strided_halves<kBlockBytes, 0>(blocks);
    r.minima = mul(r.scales, set1(8.0f));
    return r;
  }
};

struct Q41 {
  static constexpr int kBlockValues = 32, kBlockBytes = 20;
  static constexpr bool kBelow128 = true;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c)
      r.codes[c] = two_blocks_of_nibbles<kBlockBytes>(blocks + first_run_of_32(c) * kBlockBytes + 4);
    r.scales = strided_halves<kBlockBytes, 0>(blocks);
    r.minima = sub(zero(), strided_halves<kBlockBytes, 2>(blocks));
    return r;
  }
};

// The fifth bits of two blocks, bit i of value i, upon their lower four.
HADAL_INLINE u8x64 with_fifth_bits(u8x64 codes, const std::byte* first, const std::byte* second) {
  std::uint32_t low, high;
  std::memcpy(&low, first, 4);
  std::memcpy(&high, second, 4);
  return add_where(codes, static_cast<std::uint64_t>(high) << 32 | low, 16);
}

struct Q50 {
  static constexpr int kBlockValues = 32, kBlockBytes = 22;
  static constexpr bool kBelow128 = true;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const std::byte* block = blocks + first_run_of_32(c) * kBlockBytes;
      r.codes[c] =
          with_fifth_bits(two_blocks_of_nibbles<kBlockBytes>(block + 6), block + 2, block + 2 * kBlockBytes + 2);
    }
    r.scales = strided_halves<kBlockBytes, 0>(blocks);
    r.minima = mul(r.scales, set1(16.0f));
    return r;
  }
};

struct Q51 {
  static constexpr int kBlockValues = 32, kBlockBytes = 24;
  static constexpr bool kBelow128 = true;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const std::byte* block = blocks + first_run_of_32(c) * kBlockBytes;
      r.codes[c] =
          with_fifth_bits(two_blocks_of_nibbles<kBlockBytes>(block + 8), block + 4, block + 2 * kBlockBytes + 4);
    }
    r.scales = strided_halves<kBlockBytes, 0>(blocks);
    r.minima = sub(zero(), strided_halves<kBlockBytes, 2>(blocks));
    return r;
  }
};

struct Q80 {
  static constexpr int kBlockValues = 32, kBlockBytes = 34;
  static constexpr bool kBelow128 = false;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const std::byte* block = blocks + first_run_of_32(c) * kBlockBytes;
      r.codes[c] = flip(join32(block + 2, block + 2 * kBlockBytes + 2), 0x80);  // -128..127 becomes 0..255
    }
    r.scales = strided_halves<kBlockBytes, 0>(blocks);
    r.minima = mul(r.scales, set1(128.0f));
    return r;
  }
};

struct Iq4Nl {
  static constexpr int kBlockValues = 32, kBlockBytes = 18;
  static constexpr bool kBelow128 = false;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c)
      r.codes[c] =
          look_up(kIq4Values, two_blocks_of_nibbles<kBlockBytes>(blocks + first_run_of_32(c) * kBlockBytes + 2));
    r.scales = strided_halves<kBlockBytes, 0>(blocks);
    r.minima = mul(r.scales, set1(128.0f));
    return r;
  }
};

// 2^(e - 128) for whole e from 0 to 255, in two factors: the smallest are subnormal.
HADAL_INLINE f32x16 power_of_two(f32x16 e) {
  return mul(exp2_whole(sub(max(e, set1(64.0f)), set1(128.0f))), exp2_whole(min(sub(e, set1(64.0f)), zero())));
}

inline constexpr std::uint8_t kMxfp4Values[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};  // + 12

struct Mxfp4 {
  static constexpr int kBlockValues = 32, kBlockBytes = 17;
  static constexpr bool kBelow128 = true;
  static HADAL_INLINE Codes unpack(const std::byte* blocks) {
    Codes r;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c)
      r.codes[c] =
          look_up(kMxfp4Values, two_blocks_of_nibbles<kBlockBytes>(blocks + first_run_of_32(c) * kBlockBytes + 1));
    std::uint64_t exponents = 0;
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) exponents |= static_cast<std::uint64_t>(blocks[i * kBlockBytes]) << 8 * i;
    r.scales = power_of_two(widen_eight(exponents));  // 2^(e - 128)
    r.minima = mul(r.scales, set1(12.0f));
    return r;
  }
};

}  // namespace hadal::HADAL_SIMD_NAMESPACE
