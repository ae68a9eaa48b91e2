// Weights that are fp8 numbers times the scale of their block, in fast arithmetic: the numbers stay whole in bf16, the
// scales go into the left operand.
#include "base/fp8.h"
#include "kernels/isas.h"
#include "kernels/matmul.h"
#include "kernels/numbers.h"
#include "kernels/ref/grouped_matmul.h"

namespace hadal::testing {
namespace {

constexpr int kInputs = 200;  // a block of 128 and a part of one

// Two tensors in one matrix, as gate and up lie: rows 0 to 143, in two rows of blocks, and from output 160 on.
constexpr int kOutputs = 1100, kSecondTensor = 160;
constexpr int kFirstPanels[] = {0, 128 / kPanelWidth, kSecondTensor / kPanelWidth, (kSecondTensor + 128) / kPanelWidth};

// Scales of a set: of two blocks side by side. They are no powers of two, or rounding a weight with its scale would
// lose nothing; but they are a power of two times those of the first set, so that one x can be chosen for all (see
// rows()).
std::vector<float> scales_of_set(int set) {
  std::vector<float> scales(kInputs);
  for (int k = 0; k < kInputs; ++k)
    scales[static_cast<std::size_t>(k)] = std::ldexp(k < 128 ? 1.7e-3f : 0.83e-3f, -set);
  return scales;
}
int set_of_output(int output) {
  int set = 0;
  for (int i = 0; i < 4; ++i)
    if (output / kPanelWidth >= kFirstPanels[i]) set = i;
  return set;
}

// [kOutputs, kInputs] as a reader gives them: number times scale, as float32.
std::vector<float> stored_weights() {
  std::vector<float> w = random_values<float>(kOutputs * kInputs, 1, /*scale=*/100);
  for (int n = 0; n < kOutputs; ++n) {
    const std::vector<float> scales = scales_of_set(set_of_output(n));
    for (int k = 0; k < kInputs; ++k) {
      float& weight = w[static_cast<std::size_t>(n * kInputs + k)];
      weight = to_float(to_fp8_e4m3(weight)) * scales[static_cast<std::size_t>(k)];
    }
  }
  return w;
}

// [rows, kInputs]: what is left of x once the scales are in it is a bf16 number, so that rounding it costs nothing and
// every error that remains is one of the weights.
std::vector<float> rows(int count) {
  std::vector<float> x = rounded_to_bf16(random_values<float>(count * kInputs, 2));
  const std::vector<float> scales = scales_of_set(0);
  for (int i = 0; i < count * kInputs; ++i)
    x[static_cast<std::size_t>(i)] /= scales[static_cast<std::size_t>(i % kInputs)];
  return x;
}

enum class Scales { given, not_given };
PackedMatrix packed(const Compute& compute, Scales scales) {
  PackedMatrix matrix;
  matrix.allocate(compute.arithmetic, kOutputs, kInputs);
  if (scales == Scales::given)
    for (int set = 0; set < 4; ++set) matrix.set_scales(kFirstPanels[set], scales_of_set(set));
  const std::vector<float> w = stored_weights();
  const PackJob job{.from = w.data(), .stride = kInputs, .to = &matrix};
  pack(compute, std::span(&job, 1));
  return matrix;
}

std::vector<float> product(const Compute& compute, const PackedMatrix& weights, const std::vector<float>& x) {
  const int count = static_cast<int>(x.size()) / kInputs;
  std::vector<float> y(static_cast<std::size_t>(count * kOutputs));
  matmul(compute,
         {.weights = &weights, .x = x.data(), .x_stride = kInputs, .y = y.data(), .y_stride = kOutputs, .rows = count});
  return y;
}

std::vector<double> reference(const std::vector<float>& x) {
  const int count = static_cast<int>(x.size()) / kInputs;
  std::vector<double> y(static_cast<std::size_t>(count * kOutputs));
  ref::matmul<double>({count, kOutputs, kInputs}, converted<double>(x).data(),
                      converted<double>(stored_weights()).data(), y.data());
  return y;
}

class ScaledMatmul : public ::testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(EveryIsa, ScaledMatmul, ::testing::ValuesIn(runnable_isas()), isa_of_test);

// Measured: at most 5.6e-8; weights rounded with their scales, 2.1e-3.
constexpr double kBound = 1e-6, kMistake = 1e-3;

TEST_P(ScaledMatmul, LosesNothingOfTheStoredNumbers) {
  Machine machine(GetParam(), Arithmetic::fast, 2);
  const PackedMatrix weights = packed(machine.compute, Scales::given);
  for (const int count : {1, 2, 5, 50}) {
    const std::vector<float> x = rows(count);
    EXPECT_LT(difference(product(machine.compute, weights, x), reference(x)), kBound) << count << " rows";
  }
}

TEST_P(ScaledMatmul, BoundCatchesWeightsRoundedWithTheirScales) {
  Machine machine(GetParam(), Arithmetic::fast, 2);
  const std::vector<float> x = rows(5);
  EXPECT_GT(difference(product(machine.compute, packed(machine.compute, Scales::not_given), x), reference(x)),
            kMistake);
}

TEST_P(ScaledMatmul, ARowIsTheSameAloneAndAmongOthersForAnyThreads) {
  const std::vector<float> x = random_values<float>(50 * kInputs, 3);
  Machine first(GetParam(), Arithmetic::fast, 1);
  const PackedMatrix weights = packed(first.compute, Scales::given);
  const std::vector<float> together = product(first.compute, weights, x);
  for (const int threads : {1, 2, 3}) {
    Machine machine(GetParam(), Arithmetic::fast, threads);
    EXPECT_TRUE(same_bits(product(machine.compute, weights, x), together)) << threads;
    const std::vector<float> row(x.begin() + 7 * kInputs, x.begin() + 8 * kInputs);
    EXPECT_TRUE(same_bits(product(machine.compute, weights, row),
                          {together.begin() + 7 * kOutputs, together.begin() + 8 * kOutputs}))
        << threads;
  }
}

}  // namespace
}  // namespace hadal::testing
