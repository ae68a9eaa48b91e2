// Rows of x in eight bits, for products with stored blocks. Included by simd/isa_*.cc.

namespace hadal::HADAL_SIMD_NAMESPACE {

// Up to 32 values and their scale, the largest magnitude over 127; minus the sums of sixteen codes each, times it.
struct CodedRun {
  std::int8_t codes[32];
  float scale, sums[2];
};
// Below this 127 over the largest is no float, or nearly none; beside other runs such numbers are zeros.
inline constexpr float kLeastTop = 0x1p-119f;

HADAL_INLINE CodedRun code_run(const float* x, int n) {
  CodedRun run;
  f32x16 values[2] = {zero(), zero()};
  for (int half = 0; half < 2; ++half) {
    const int left = n - 16 * half;
    if (left > 0) values[half] = left >= 16 ? load(x + 16 * half) : load_first(x + 16 * half, left);
  }
  const f32x16 tops = max(max(values[0], values[1]), sub(zero(), min(values[0], values[1])));
  const float top = reduce_max(tops), inverse = top >= kLeastTop ? 127.0f / top : 0.0f;
  run.scale = top < kLeastTop ? 0.0f : top / 127.0f;
  for (int half = 0; half < 2; ++half) {
    const f32x16 codes = round_even(mul(values[half], set1(inverse)));
    store_signed(run.codes + 16 * half, codes);
    run.sums[half] = -run.scale * reduce_add(codes);
  }
  return run;
}

void code_row(const float* x, int k, const CodedRow& to) {
  const int padded = (k + 255) / 256 * 256;
  for (int first = 0; first < padded; first += 32) {
    const CodedRun run = code_run(x + first, k - first < 32 ? k - first : 32);  // none at all in the padding
    for (int half = 0; half < 2; ++half) {
      const int block = first / 256, lane = run_lane(first % 256 / 16 + half);
      for (int step = 0; step < 4; ++step)
        std::memcpy(to.codes + 256 * block + 64 * step + 4 * lane, run.codes + 16 * half + 4 * step, 4);
      to.scales[16 * block + lane] = run.scale;
      to.sums[16 * block + lane] = run.sums[half];
    }
  }
}

}  // namespace hadal::HADAL_SIMD_NAMESPACE
