// Products with weights as their file stores them, in blocks: a row of W at a time against a few 8-bit rows of x, or
// panels unpacked on the way into the ordinary product (gemm.inl). Written once for all types of block_types.inl.
// Included by simd/isa_*.cc.

namespace hadal::HADAL_SIMD_NAMESPACE {

// --- activations -----------------------------------------------------------------------------------------------------

// The scale is the largest magnitude over 127.
void code_row(const float* x, int k, bool whole, const CodedRow& to) {
  const int run = whole ? 256 : 32, padded = (k + 255) / 256 * 256;
  for (int first = 0; first < padded; first += run) {
    const int n = k - first < run ? k - first : run;  // none at all in the padding
    f32x16 tops = zero();
    HADAL_FOR_LANES(i, n, lanes) {
      const f32x16 a = take(x + first + i, lanes);
      tops = max(tops, max(a, sub(zero(), a)));
    }
    const float top = reduce_max(tops), inverse = top > 0 ? 127.0f / top : 0.0f, scale = top / 127.0f;
    if (whole) to.scales[first / 256] = scale;
    else
      for (int lane = 0; lane < 8; ++lane) to.scales[first / 4 + lane] = scale;
    for (int i = 0; i < run; i += 16) {
      const int left = n - i;
      const f32x16 a = left >= 16 ? load(x + first + i) : left > 0 ? load_first(x + first + i, left) : zero();
      const f32x16 code = round_even(mul(a, set1(inverse)));
      store_signed(to.codes + first + i, code);
      const float sum = reduce_add(code);
      to.sums[(first + i) / 16] = whole ? sum : scale * sum;
      to.whole_sums[(first + i) / 16] = static_cast<std::int16_t>(sum);
    }
  }
}

// --- a few rows --------------------------------------------------------------------------------------------------------

// The block at value `first` of a row of k; a last one that is not whole is completed with zeros in `buffer`.
template <class T>
HADAL_INLINE auto unpack_at(const std::byte* row, int first, int k, std::byte* buffer) {
  const std::byte* block = row + first / T::kBlockValues * T::kBlockBytes;
  if (T::kBlockValues == 256 || first + 256 <= k) return T::unpack(block);
  std::memset(buffer, 0, 8 * T::kBlockBytes);
  std::memcpy(buffer, block, static_cast<std::size_t>((k - first) / T::kBlockValues * T::kBlockBytes));
  return T::unpack(buffer);
}

// sums[r] += a block of 256 values · row r of x: in whole numbers until the end of the block.
template <class T, int M>
HADAL_INLINE void add_block(const WholeCodes& w, const CodedRow* x, int first, f32x16 (&sums)[M], f32x16 (&offsets)[M]) {
  const i16x32 scales[4] = {multipliers<0, T::kRun>(w.scales), multipliers<64 / T::kRun, T::kRun>(w.scales),
                            multipliers<128 / T::kRun, T::kRun>(w.scales), multipliers<192 / T::kRun, T::kRun>(w.scales)};
#pragma GCC unroll 8
  for (int r = 0; r < M; ++r) {
    const std::int8_t* codes = x[r].codes + first;
    i32x16 whole = add_scaled_dot(no_sum(), w.codes[0], codes, scales[0]);
#pragma GCC unroll 3
    for (int c = 1; c < 4; ++c) whole = add_scaled_dot(whole, w.codes[c], codes + 64 * c, scales[c]);
    const float scale = x[r].scales[first / 256];
    sums[r] = fma(to_floats(whole), set1(w.d * scale), sums[r]);
    offsets[r] = fma(dot_whole(w.offsets, x[r].whole_sums + first / 16), set1(w.dmin * scale), offsets[r]);
  }
}

// The same where each run of 32 has a scale of its own, in W and in x.
template <class T, int M>
HADAL_INLINE void add_block(const Codes& w, const CodedRow* x, int first, f32x16 (&sums)[M], f32x16 (&offsets)[M]) {
  const f32x16 scales[4] = {spread<0, 8>(w.scales), spread<2, 8>(w.scales), spread<4, 8>(w.scales), spread<6, 8>(w.scales)};
#pragma GCC unroll 8
  for (int r = 0; r < M; ++r) {
    const std::int8_t* codes = x[r].codes + first;
    const float* x_scales = x[r].scales + first / 4;
    offsets[r] = fma(w.offsets, load(x[r].sums + first / 16), offsets[r]);
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c)
      sums[r] = fma(dot_codes(w.codes[c], codes + 64 * c), mul(scales[c], load(x_scales + 16 * c)), sums[r]);
  }
}

// y[r * y_stride + j] (+)= row j of W · row r of x.
template <class T, int M>
void dot_rows(const std::byte* rows, std::size_t row_bytes, int n, int k, const CodedRow* x, float* y, std::ptrdiff_t y_stride,
              bool accumulate) {
  std::byte buffer[8 * T::kBlockBytes];
  for (int j = 0; j < n; ++j, rows += row_bytes) {
    f32x16 sums[M], offsets[M];
#pragma GCC unroll 8
    for (int r = 0; r < M; ++r) sums[r] = offsets[r] = zero();
    for (int first = 0; first < k; first += 256) add_block<T, M>(unpack_at<T>(rows, first, k, buffer), x, first, sums, offsets);
#pragma GCC unroll 8
    for (int r = 0; r < M; ++r) {
      const float sum = reduce_add(add(sums[r], offsets[r]));
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

// The largest tile of rows of x that is left.
template <class T, int M>
HADAL_INLINE void dot_tiles(const std::byte* rows, std::size_t row_bytes, int n, int k, const CodedRow* x, int m, float* y,
                            std::ptrdiff_t y_stride, bool accumulate) {
  for (; m >= M; m -= M, x += M, y += M * y_stride) dot_rows<T, M>(rows, row_bytes, n, k, x, y, y_stride, accumulate);
  if constexpr (M == 4)
    if (m == 3) return dot_rows<T, 3>(rows, row_bytes, n, k, x, y, y_stride, accumulate);  // often with experts: not as 2 and 1
  if constexpr (M > 1)
    if (m > 0) dot_tiles<T, M / 2>(rows, row_bytes, n, k, x, m, y, y_stride, accumulate);
}

template <class T>
void stored_dot(const std::byte* rows, std::size_t row_bytes, int n, int k, const CodedRow* x, int m, float* y, std::ptrdiff_t y_stride,
                bool accumulate) {
  // Some rows of W at a time, so that further rows of x find them in the first-level cache.
  const int step = m <= 4 || m == kDotRows ? n : 8;
  for (int j = 0; j < n; j += step)
    dot_tiles<T, kDotRows>(rows + static_cast<std::size_t>(j) * row_bytes, row_bytes, n - j < step ? n - j : step, k, x, m, y + j,
                           y_stride, accumulate);
}

// --- many rows -----------------------------------------------------------------------------------------------------

// 256 values (fewer at the end of a row of 32-value blocks, zeros then). A product and a sum rounded once: the bits of
// the definition, whose own products are exact before its last step.
template <class T>
void unpack_values(const std::byte* row, int first, int k, float* out) {
  std::byte buffer[8 * T::kBlockBytes];
  std::uint8_t codes[256];
  float scales[16], offsets[16];
  Codes w;
  if constexpr (T::kWhole) w = with_floats<T>(unpack_at<T>(row, first, k, buffer));
  else w = unpack_at<T>(row, first, k, buffer);
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
    .whole = T::kWhole,
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
