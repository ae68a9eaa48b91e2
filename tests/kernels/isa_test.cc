// The instruction set is chosen at start by what the processor has, can be forced,
// and the one that was asked for does the work.
#include "kernels/isas.h"
#include "kernels/matmul.h"
#include "kernels/numbers.h"

namespace hadal::testing {
namespace {

constexpr Processor kEverything = {.avx2 = true,
                                   .fma = true,
                                   .f16c = true,
                                   .avx512f = true,
                                   .avx512bw = true,
                                   .avx512vl = true,
                                   .avx512dq = true,
                                   .avx512_bf16 = true,
                                   .avx512_vnni = true};

TEST(Isa, BestIsTheFastestThatThisProcessorRuns) {
  const std::vector<Isa> isas = runnable_isas();
  ASSERT_FALSE(isas.empty());
  EXPECT_EQ(isas.front(), Isa::portable) << "runs anywhere";
  EXPECT_NE(kernels_for(best_isa()), nullptr);
  ThreadPool pool(1);
  EXPECT_EQ(make_compute(pool, Arithmetic::fast).kernels->isa, best_isa());
}

constexpr Processor zen3() {
  Processor without = kEverything;
  without.avx512f = without.avx512bw = without.avx512vl = without.avx512dq = without.avx512_bf16 = without.avx512_vnni =
      false;
  return without;
}
constexpr Processor cascade_lake() {
  Processor without = kEverything;
  without.avx512_bf16 = false;
  without.intel = true;
  return without;
}

TEST(Isa, DotsOfBf16AreTakenWhereTheyAreFast) {
  Processor emerald_rapids = kEverything;
  emerald_rapids.intel = true;
  EXPECT_EQ(best_isa(kEverything), Isa::avx512_bf16);
  EXPECT_EQ(best_isa(emerald_rapids), Isa::avx512);
  EXPECT_TRUE(require_kernels(Isa::avx512_bf16, emerald_rapids).ok());
  EXPECT_EQ(best_isa(cascade_lake()), Isa::avx512);
  EXPECT_EQ(best_isa(zen3()), Isa::avx2);
  EXPECT_EQ(best_isa(Processor{}), Isa::portable);
}

TEST(Isa, ForcedTablesAreTheOnesAskedForAndShareNoKernel) {
  for (const Isa isa : kIsas) {
    const KernelTable* a = *require_kernels(isa, kEverything);
    EXPECT_EQ(a->isa, isa);
    for (const Isa other : kIsas) {
      if (other == isa) continue;
      const KernelTable* b = *require_kernels(other, kEverything);
      EXPECT_NE(a->gemm_f32, b->gemm_f32);
      EXPECT_NE(a->attention_fast, b->attention_fast);
      EXPECT_NE(a->absorbed_f32, b->absorbed_f32);
      EXPECT_NE(a->softmax, b->softmax);
    }
  }
}

TEST(Isa, ForcingWhatTheProcessorLacksIsAnErrorThatNamesIt) {
  EXPECT_TRUE(require_kernels(Isa::avx2, zen3()).ok());
  EXPECT_TRUE(require_kernels(Isa::avx512, cascade_lake()).ok());
  const auto refused = require_kernels(Isa::avx512_bf16, cascade_lake());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::unsupported);
  EXPECT_EQ(refused.error().message,
            "instruction set avx512_bf16: expected a processor with avx512f avx512bw avx512vl avx512dq fma f16c "
            "avx512_vnni avx512_bf16, this one lacks avx512_bf16");
  EXPECT_FALSE(require_kernels(Isa::avx2, Processor{}).ok());
  EXPECT_FALSE(require_kernels(Isa::avx512, zen3()).ok());
  EXPECT_TRUE(require_kernels(Isa::portable, Processor{}).ok());
  ThreadPool pool(1);
  for (const Isa isa : kIsas)
    EXPECT_EQ(make_compute(pool, Arithmetic::exact, isa).ok(), kernels_for(isa) != nullptr) << isa_name(isa);
}

// One product of 1 x 1 on `kernels`.
float product_of(const KernelTable& kernels, float x, float w) {
  ThreadPool pool(1);
  const Compute compute{&pool, Arithmetic::fast, &kernels};
  PackedMatrix packed;
  packed.allocate(Arithmetic::fast, 1, 1);
  packed.pack_rows(kernels, 0, 1, &w, 1);
  float y = 0;
  matmul(compute, {.weights = &packed, .x = &x, .x_stride = 1, .y = &y, .y_stride = 1, .rows = 1});
  return y;
}

// vdpbf16ps takes and gives subnormal numbers as zero, whatever the control register says (Intel's manual, volume 2,
// VDPBF16PS); a fused multiply-add keeps them. So the product 2^-70 x 2^-70 = 2^-140 shows who computed it.
TEST(Isa, TheForcedOneDoesTheWork) {
  for (const Isa isa : runnable_isas()) {
    const float product = product_of(*kernels_for(isa), 0x1p-70f, 0x1p-70f);
    if (isa == Isa::avx512_bf16)
      EXPECT_EQ(product, 0.0f);
    else
      EXPECT_EQ(product, 0x1p-140f) << isa_name(isa);
  }
}

int counted_calls = 0;

TEST(Isa, MatmulTakesItsKernelsFromTheTableItIsGiven) {
  KernelTable counting = *kernels_for(Isa::portable);
  counting.gemm_f32_bf16 = [](int m, int n, int k, const float* a, std::ptrdiff_t a_stride, const std::uint16_t* b,
                              float* c, std::ptrdiff_t c_stride, bool accumulate) {
    ++counted_calls;
    kPortableKernels.gemm_f32_bf16(m, n, k, a, a_stride, b, c, c_stride, accumulate);
  };
  counted_calls = 0;
  EXPECT_EQ(product_of(counting, 3, 4), 12.0f);
  EXPECT_EQ(counted_calls, 1);
}

}  // namespace
}  // namespace hadal::testing
