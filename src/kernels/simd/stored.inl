// Products with weights as their file stores them, in blocks: a row of W at a time against a few 8-bit rows of x, or
// panels unpacked on the way into the ordinary product (gemm.inl). Written once for all types of block_types.inl.
// Included by simd/isa_*.cc.

namespace hadal::HADAL_SIMD_NAMESPACE {

// --- activations -----------------------------------------------------------------------------------------------------

// Each 32 values get one scale, the largest magnitude over 127.
void code_row(const float* x, int k, const CodedRow& to) {
  const int padded = (k + 255) / 256 * 256;
  for (int i = 0; i < padded; i += 32) {
    const int left = k - i;
    const f32x16 a = left >= 16 ? load(x + i) : left > 0 ? load_first(x + i, left) : zero();
    const f32x16 b = left >= 32 ? load(x + i + 16) : left > 16 ? load_first(x + i + 16, left - 16) : zero();
    const float top = reduce_max(max(max(a, sub(zero(), a)), max(b, sub(zero(), b))));
    const float scale = top / 127.0f, inverse = top > 0 ? 127.0f / top : 0.0f;
    const f32x16 code_a = round_even(mul(a, set1(inverse))), code_b = round_even(mul(b, set1(inverse)));
    store_signed(to.codes + i, code_a);
    store_signed(to.codes + i + 16, code_b);
    to.sums[i / 16] = scale * reduce_add(code_a);
    to.sums[i / 16 + 1] = scale * reduce_add(code_b);
    for (int lane = 0; lane < 8; ++lane) to.lane_scales[i / 4 + lane] = scale;
  }
}

// --- a few rows --------------------------------------------------------------------------------------------------------

// The block at value `first` of a row of k; a last one that is not whole is completed with zeros in `buffer`.
template <class T>
HADAL_INLINE Codes unpack_at(const std::byte* row, int first, int k, std::byte* buffer) {
  if constexpr (T::kBlockValues == 256) return T::unpack(row + first / 256 * T::kBlockBytes);
  const std::byte* block = row + first / T::kBlockValues * T::kBlockBytes;
  if (first + 256 <= k) return T::unpack(block);
  std::memset(buffer, 0, 8 * T::kBlockBytes);
  std::memcpy(buffer, block, static_cast<std::size_t>((k - first) / T::kBlockValues * T::kBlockBytes));
  return T::unpack(buffer);
}

// Scales of chunk c, the c-th 64 values, by lane of their product: a lane holds 4 values.
template <int kRun, int c>
HADAL_INLINE f32x16 lane_scales(f32x16 scales) {
  return kRun == 32 ? spread<2 * c, 8>(scales) : spread<4 * c, 4>(scales);
}

template <class T, int c, int M>
HADAL_INLINE void add_chunk(const Codes& w, const CodedRow* x, int first, f32x16 (&sums)[M]) {
  const f32x16 scales = lane_scales<T::kRun, c>(w.scales);
#pragma GCC unroll 8
  for (int r = 0; r < M; ++r)
    sums[r] = fma(dot_codes(w.codes[c], x[r].codes + first + 64 * c), mul(scales, load(x[r].lane_scales + first / 4 + 16 * c)), sums[r]);
}

// y[r * y_stride + j] (+)= row j of W · row r of x.
template <class T, int M>
void dot_rows(const std::byte* rows, std::size_t row_bytes, int n, int k, const CodedRow* x, float* y, std::ptrdiff_t y_stride,
              bool accumulate) {
  std::byte buffer[8 * T::kBlockBytes];
  for (int j = 0; j < n; ++j, rows += row_bytes) {
    f32x16 even[M], odds[M];  // a row or two of x: two chains, since one would wait for its own sums
    f32x16(&odd)[M] = M <= 2 ? odds : even;
#pragma GCC unroll 8
    for (int r = 0; r < M; ++r) even[r] = odds[r] = zero();
    for (int first = 0; first < k; first += 256) {
      const Codes w = unpack_at<T>(rows, first, k, buffer);
      add_chunk<T, 0, M>(w, x, first, even);
      add_chunk<T, 1, M>(w, x, first, odd);
      add_chunk<T, 2, M>(w, x, first, even);
      add_chunk<T, 3, M>(w, x, first, odd);
#pragma GCC unroll 8
      for (int r = 0; r < M; ++r) odd[r] = fma(w.offsets, load(x[r].sums + first / 16), odd[r]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < M; ++r) {
      const float sum = reduce_add(M <= 2 ? add(even[r], odd[r]) : even[r]);
      float& to = y[r * y_stride + j];
      to = accumulate ? to + sum : sum;
    }
  }
}

#if defined(HADAL_SIMD_AVX512)
inline constexpr int kDotRows = 8;  // 16 sums of 32 registers
#else
inline constexpr int kDotRows = 2;
#endif

template <class T>
void stored_dot(const std::byte* rows, std::size_t row_bytes, int n, int k, const CodedRow* x, int m, float* y, std::ptrdiff_t y_stride,
                bool accumulate) {
  // Some rows of W at a time, so that further rows of x find them in the first-level cache.
  const int step = m <= kDotRows ? n : 8;
  for (int j = 0; j < n; j += step) {
    const int count = n - j < step ? n - j : step;
    const std::byte* from = rows + static_cast<std::size_t>(j) * row_bytes;
    for (int r = 0; r < m;) {
      float* to = y + r * y_stride + j;
      const int left = m - r;
#if defined(HADAL_SIMD_AVX512)
      if (left >= 8) {
        dot_rows<T, 8>(from, row_bytes, count, k, x + r, to, y_stride, accumulate);
        r += 8;
        continue;
      }
      if (left >= 4) {
        dot_rows<T, 4>(from, row_bytes, count, k, x + r, to, y_stride, accumulate);
        r += 4;
        continue;
      }
#endif
      if (left >= 2) {
        dot_rows<T, 2>(from, row_bytes, count, k, x + r, to, y_stride, accumulate);
        r += 2;
        continue;
      }
      dot_rows<T, 1>(from, row_bytes, count, k, x + r, to, y_stride, accumulate);
      r += 1;
    }
  }
}

// --- many rows -----------------------------------------------------------------------------------------------------

// 256 values (fewer at the end of a row of 32-value blocks, zeros then). A product and a sum rounded once: the bits of
// the definition, whose own products are exact before its last step.
template <class T>
void unpack_values(const std::byte* row, int first, int k, float* out) {
  std::byte buffer[8 * T::kBlockBytes];
  std::uint8_t codes[256];
  float scales[16], offsets[16];
  const Codes w = unpack_at<T>(row, first, k, buffer);
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) store_codes(codes + 64 * c, w.codes[c]);
  store(scales, w.scales);
  store(offsets, w.offsets);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i)
    store(out + 16 * i, fma(widen_codes(codes + 16 * i), set1(scales[i * 16 / T::kRun]), set1(offsets[i])));
}

template <class T>
void stored_values(const std::byte* row, int k, float* out) {
  int first = 0;
  for (; first + 256 <= k; first += 256) unpack_values<T>(row, first, k, out + first);
  if (first == k) return;
  float last[256];
  unpack_values<T>(row, first, k, last);
  std::memcpy(out + first, last, static_cast<std::size_t>(k - first) * 4);
}

// n <= 32 rows of W to one panel.
template <class T, class E>
void stored_panel(const std::byte* rows, std::size_t row_bytes, int n, int k, E* panel) {
  alignas(64) float values[16 * 256];  // 16 KiB: half of the first-level cache
  for (int first = 0; first < k; first += 256) {
    const int width = k - first < 256 ? k - first : 256;
    E* to = panel + static_cast<std::ptrdiff_t>(first) * 32;
    if (n < 32) std::memset(to, 0, static_cast<std::size_t>(width) * 32 * sizeof(E));  // widths of blocks are even
    for (int half = 0; half < n; half += 16) {
      const int count = n - half < 16 ? n - half : 16;
      for (int i = 0; i < count; ++i)
        unpack_values<T>(rows + static_cast<std::size_t>(half + i) * row_bytes, first, k, values + 256 * i);
      pack_half<E>(values, 256, count, width, to + half * Element<E>::kDepth);
    }
  }
}

template <class T>
inline constexpr StoredKernels kStored = {
    .values = stored_values<T>,
    .panel_f32 = stored_panel<T, float>,
    .panel_bf16 = stored_panel<T, std::uint16_t>,
    .dot = stored_dot<T>,
};

const StoredKernels* stored_kernels(DType dtype) {
  switch (dtype) {
    case DType::q4_0:
      return &kStored<Q40>;
    case DType::q4_1:
      return &kStored<Q41>;
    case DType::q5_0:
      return &kStored<Q50>;
    case DType::q5_1:
      return &kStored<Q51>;
    case DType::q8_0:
      return &kStored<Q80>;
    case DType::q2_k:
      return &kStored<Q2K>;
    case DType::q3_k:
      return &kStored<Q3K>;
    case DType::q4_k:
      return &kStored<Q4K>;
    case DType::q5_k:
      return &kStored<Q5K>;
    case DType::q6_k:
      return &kStored<Q6K>;
    case DType::iq4_nl:
      return &kStored<Iq4Nl>;
    case DType::iq4_xs:
      return &kStored<Iq4Xs>;
    case DType::mxfp4:
      return &kStored<Mxfp4>;
    default:
      return nullptr;
  }
}

}  // namespace hadal::HADAL_SIMD_NAMESPACE
