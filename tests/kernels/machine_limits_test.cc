// The loops behind the limits that speeds are reported beside: they do what they count. How fast is not for a test.
#include "kernels/isas.h"

namespace hadal::testing {
namespace {

class MachineLimits : public ::testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(EveryIsa, MachineLimits, ::testing::ValuesIn(runnable_isas()), isa_of_test);

TEST_P(MachineLimits, ReadingLeavesNoCacheLineOut) {
  constexpr std::size_t kFloats = 4096, kLine = 16;
  std::vector<float> block(kFloats, 0.0f);
  for (std::size_t i = 0; i < kFloats; i += kLine) {
    block[i + i / kLine % kLine] = 1;  // another place of each line
    EXPECT_EQ(kernels_for(GetParam())->read_all(reinterpret_cast<const std::byte*>(block.data()), kFloats * 4),
              static_cast<float>(i / kLine + 1));
  }
}

TEST_P(MachineLimits, BusyLoopsCountWhatTheyAreAskedFor) {
  const KernelTable& kernels = *kernels_for(GetParam());
  for (const auto busy : {kernels.busy_f32, kernels.busy_bf16}) {
    EXPECT_GT(busy(10), 0);
    EXPECT_EQ(busy(1000), 100 * busy(10));
  }
  EXPECT_EQ(kernels.busy_bf16(10), 2 * kernels.busy_f32(10)) << "a pair is two products";
}

}  // namespace
}  // namespace hadal::testing
