// Products with weights as their file stores them, in blocks: a row of W at a time against a few 8-bit rows of x
// (activations.inl), or panels unpacked on the way into the ordinary product (gemm.inl). Written once for all types of
// block_types.inl. Included by simd/isa_*.cc.

namespace hadal::HADAL_SIMD_NAMESPACE {

// --- a few rows ------------------------------------------------------------------------------------------------------

// The block at value `first` of a row of k; a last one that is not whole is completed with zeros in `buffer`.
template <class T>
HADAL_INLINE Codes unpack_at(const std::byte* row, int first, int k, std::byte* buffer) {
  const std::byte* block = row + first / T::kBlockValues * T::kBlockBytes;
  if (T::kBlockValues == 256 || first + 256 <= k) return T::unpack(block);
  std::memset(buffer, 0, 8 * T::kBlockBytes);
  std::memcpy(buffer, block, static_cast<std::size_t>((k - first) / T::kBlockValues * T::kBlockBytes));
  return T::unpack(buffer);
}

// sums[r] + minima[r] += a block of 256 values · row r of x.
template <class T, int M>
HADAL_INLINE void add_block(Codes w, const CodedRow* x, int first, f32x16 (&sums)[M], f32x16 (&minima)[M]) {
  to_run_order(w.codes);
#pragma GCC unroll 8
  for (int r = 0; r < M; ++r) {
    i32x16 dots = no_sum();
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) dots = add_dot<T::kBelow128>(dots, w.codes[c], x[r].codes + first + 64 * c);
    sums[r] = fma(to_floats(dots), mul(w.scales, load(x[r].scales + first / 16)), sums[r]);
    minima[r] = fma(w.minima, load(x[r].sums + first / 16), minima[r]);
  }
}

// Rows lie one after another, and a core's own prefetcher stops at each end of a page: without this a fresh page costs
// 100 ns, half of what its products do.
inline constexpr int kPrefetchAhead = 4096;

// y[r * y_stride + j] (+)= row j of W · row r of x. kUnits: four blocks at once while there are (units.inl), x coded
// so.
template <class T, int M, bool kUnits>
void dot_rows(const std::byte* rows, std::size_t row_bytes, int n, int k, const CodedRow* x, float* y,
              std::ptrdiff_t y_stride, bool accumulate) {
  constexpr int kBytes = 256 / T::kBlockValues * T::kBlockBytes;
  std::byte buffer[8 * T::kBlockBytes];
  for (int j = 0; j < n; ++j, rows += row_bytes) {
    f32x16 sums[M], minima[M];
#pragma GCC unroll 8
    for (int r = 0; r < M; ++r) sums[r] = minima[r] = zero();
    const std::byte* at = rows;
    int first = 0;
    if constexpr (kUnits)
      for (; first + kUnitValues <= k; first += kUnitValues, at += kUnitBlocks * kBytes) {
#pragma GCC unroll 16
        for (int line = 0; line < kUnitBlocks * kBytes; line += 64) __builtin_prefetch(at + kPrefetchAhead + line);
        add_unit<T, M>(InUnits<T>::unit_at(at), x, first, sums);
      }
    for (; first + 256 <= k; first += 256, at += kBytes) {
#pragma GCC unroll 8
      for (int line = 0; line < kBytes; line += 64) __builtin_prefetch(at + kPrefetchAhead + line);
      add_block<T, M>(T::unpack(at), x, first, sums, minima);
    }
    if (T::kBlockValues < 256 && first < k) {
      // Where other rows follow, a whole block is read across the end: x is zero there. A copy of what is left takes
      // as long as two blocks.
      const bool follows = at + kBytes <= rows + static_cast<std::size_t>(n - j) * row_bytes;
      add_block<T, M>(follows ? T::unpack(at) : unpack_at<T>(rows, first, k, buffer), x, first, sums, minima);
    }
#pragma GCC unroll 8
    for (int r = 0; r < M; ++r) {
      const float sum = reduce_add(add(sums[r], minima[r]));
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
template <class T, int M, bool kUnits>
HADAL_INLINE void dot_tiles(const std::byte* rows, std::size_t row_bytes, int n, int k, const CodedRow* x, int m,
                            float* y, std::ptrdiff_t y_stride, bool accumulate) {
  for (; m >= M; m -= M, x += M, y += M * y_stride)
    dot_rows<T, M, kUnits>(rows, row_bytes, n, k, x, y, y_stride, accumulate);
  if constexpr (M == 4)
    if (m == 3)
      return dot_rows<T, 3, kUnits>(rows, row_bytes, n, k, x, y, y_stride,
                                    accumulate);  // often with experts: not as 2 and 1
  if constexpr (M > 1)
    if (m > 0) dot_tiles<T, M / 2, kUnits>(rows, row_bytes, n, k, x, m, y, y_stride, accumulate);
}

template <class T, bool kUnits>
void stored_dot(const std::byte* rows, std::size_t row_bytes, int n, int k, const CodedRow* x, int m, float* y,
                std::ptrdiff_t y_stride, bool accumulate) {
  // Some rows of W at a time, so that further rows of x find them in the first-level cache.
  const int step = m <= 4 || m == kDotRows ? n : 8;
  for (int j = 0; j < n; j += step)
    dot_tiles<T, kDotRows, kUnits>(rows + static_cast<std::size_t>(j) * row_bytes, row_bytes,
                                   n - j < step ? n - j : step, k, x, m, y + j, y_stride, accumulate);
}

// --- many rows -----------------------------------------------------------------------------------------------------

// 256 values (fewer at the end of a row of 32-value blocks, zeros then). A product and a sum rounded once: the bits of
// the definition, whose own products are exact before its last step.
template <class T>
void unpack_values(const std::byte* row, int first, int k, float* out) {
  std::byte buffer[8 * T::kBlockBytes];
  std::uint8_t codes[256];
  float scales[16], minima[16];
  const Codes w = unpack_at<T>(row, first, k, buffer);
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) store_codes(codes + 64 * c, w.codes[c]);
  store(scales, w.scales);
  store(minima, w.minima);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    const std::uint8_t* run = codes + 64 * run_register(i) + 16 * run_quarter(i);
    store(out + 16 * i, fma(widen_codes(run), set1(scales[run_lane(i)]), set1(-minima[run_lane(i)])));
  }
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

}  // namespace hadal::HADAL_SIMD_NAMESPACE
