// Matrix products with packed weights, one and many at once, on every instruction
// set: exact arithmetic against its promise, bit for bit; fast arithmetic against
// the reference. Gradients: matmul_gradient_test.cc.
#include "kernels/matmul.h"

#include "kernels/isas.h"
#include "kernels/numbers.h"
#include "kernels/ref/grouped_matmul.h"

namespace hadal::testing {
namespace {

struct Shape {
  int M, N, K;  // rows, outputs, inputs
};
std::string name_of(const Shape& s) {
  return std::to_string(s.M) + " x " + std::to_string(s.N) + " x " + std::to_string(s.K);
}

// Every border of matmul.cc and gemm.inl from both sides: tiles of all heights up to 12 rows, blocks of 96 and the
// change of plan at 48; panels of 32 outputs (half ones too), four at once for one row, parts of 128 and 1024; odd
// depths, which bf16 pairs must pad; one input more than the steps that a block of rows takes at a time.
std::vector<Shape> shapes_at_borders() {
  std::vector<Shape> shapes;
  for (const int M : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 17, 24, 25, 47, 48, 49, 95, 96, 97, 193})
    for (const int N : {33, 129}) shapes.push_back({M, N, 7});
  for (const int N : {1, 15, 16, 17, 31, 32, 63, 64, 65, 96, 97, 127, 128, 160, 257, 1024, 1025, 1056})
    for (const int M : {1, 2, 3, 14, 50}) shapes.push_back({M, N, 4});
  for (const int K : {1, 2, 3, 15, 16, 17, 64, 65, 301})
    for (const int M : {1, 3, 14}) shapes.push_back({M, 40, K});
  for (const Shape& s : {Shape{48, 33, 257}, {96, 33, 129}, {97, 33, 301}}) shapes.push_back(s);
  return shapes;
}

PackedMatrix packed(const Compute& compute, int N, int K, const std::vector<float>& w) {
  PackedMatrix matrix;
  matrix.allocate(compute.arithmetic, N, K);
  const PackJob job{.from = w.data(), .stride = K, .to = &matrix};
  pack(compute, std::span(&job, 1));
  return matrix;
}

// x [M, K], w [N, K] to y [M, N]; `start`: added to what is there.
std::vector<float> product(const Compute& compute, const Shape& s, const std::vector<float>& x,
                           const std::vector<float>& w, const std::vector<float>& start = {}) {
  const GappedRows rows(s.M, s.K, x);
  GappedRows y(s.M, s.N, start);
  const PackedMatrix weights = packed(compute, s.N, s.K, w);
  matmul(compute, {.weights = &weights,
                   .x = rows.data(),
                   .x_stride = rows.stride(),
                   .y = y.data(),
                   .y_stride = y.stride(),
                   .rows = s.M,
                   .accumulate = !start.empty()});
  return y.values();
}

std::vector<double> reference(const Shape& s, const std::vector<float>& x, const std::vector<float>& w) {
  std::vector<double> y(static_cast<std::size_t>(s.M * s.N));
  ref::matmul<double>({s.M, s.N, s.K}, converted<double>(x).data(), converted<double>(w).data(), y.data());
  return y;
}

// What docs/numerics.md promises of exact arithmetic: an output is one accumulator that takes its products in ascending
// order of the input, each with one rounding.
std::vector<float> chain(const Shape& s, const std::vector<float>& x, const std::vector<float>& w,
                         const std::vector<float>& start = {}) {
  std::vector<float> y = start.empty() ? std::vector<float>(static_cast<std::size_t>(s.M * s.N)) : start;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const float* row = x.data() + i / static_cast<std::size_t>(s.N) * static_cast<std::size_t>(s.K);
    const float* weights = w.data() + i % static_cast<std::size_t>(s.N) * static_cast<std::size_t>(s.K);
    for (int k = 0; k < s.K; ++k) y[i] = std::fma(row[k], weights[k], y[i]);
  }
  return y;
}

class Matmul : public ::testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(EveryIsa, Matmul, ::testing::ValuesIn(runnable_isas()), isa_of_test);

// One chain for all: so the bits depend neither on the instruction set nor on threads nor on the rows beside.
TEST_P(Matmul, ExactIsOneChainOfProductsForEveryShapeAndThreads) {
  Machine machines[] = {
      {GetParam(), Arithmetic::exact, 1}, {GetParam(), Arithmetic::exact, 2}, {GetParam(), Arithmetic::exact, 3}};
  std::uint64_t seed = 0;
  for (const Shape& s : shapes_at_borders()) {
    const auto x = random_values<float>(s.M * s.K, ++seed), w = random_values<float>(s.N * s.K, ++seed);
    const std::vector<float> promised = chain(s, x, w);
    for (Machine& machine : machines)
      EXPECT_TRUE(same_bits(product(machine.compute, s, x, w), promised))
          << name_of(s) << ", " << machine.pool.threads() << " threads";
  }
}

TEST_P(Matmul, AccumulatingGoesOnWithTheSameChain) {
  Machine machine(GetParam(), Arithmetic::exact, 2);
  for (const Shape& s : {Shape{1, 40, 9}, {3, 65, 9}, {5, 33, 8}, {50, 47, 9}, {13, 32, 3}}) {
    const auto x = random_values<float>(s.M * s.K, 1), w = random_values<float>(s.N * s.K, 2),
               start = random_values<float>(s.M * s.N, 3);
    EXPECT_TRUE(same_bits(product(machine.compute, s, x, w, start), chain(s, x, w, start))) << name_of(s);
  }
}

// The kernel alone: x rounded to bf16 beforehand, so that only sums in float32 differ from double.
// Measured over all shapes and instruction sets: at most 1.5e-7; the mildest mistake below, 3.9e-3.
constexpr double kSumBound = 1e-6;

TEST_P(Matmul, FastIsTheReferenceOnRoundedOperandsForEveryShape) {
  Machine machine(GetParam(), Arithmetic::fast, 2);
  std::uint64_t seed = 0;
  for (const Shape& s : shapes_at_borders()) {
    const auto x = rounded_to_bf16(random_values<float>(s.M * s.K, ++seed)),
               w = random_values<float>(s.N * s.K, ++seed);
    EXPECT_LT(difference(product(machine.compute, s, x, w), reference(s, x, rounded_to_bf16(w))), kSumBound)
        << name_of(s);
  }
}

// x is rounded where dots of bf16 pairs are an instruction, and nowhere else: neither as it lies (K even) nor copied.
TEST_P(Matmul, FastRoundsXOnlyForDotsOfPairs) {
  Machine machine(GetParam(), Arithmetic::fast, 2);
  for (const Shape& s : {Shape{14, 40, 64}, {50, 40, 301}, {1, 40, 64}}) {
    const auto x = random_values<float>(s.M * s.K, 1), w = rounded_to_bf16(random_values<float>(s.N * s.K, 2));
    const auto rounded = reference(s, rounded_to_bf16(x), w), kept = reference(s, x, w);
    const bool pairs = GetParam() == Isa::avx512_bf16;
    EXPECT_LT(difference(product(machine.compute, s, x, w), pairs ? rounded : kept), kSumBound) << name_of(s);
    EXPECT_GT(difference(rounded, kept), 1000 * kSumBound) << name_of(s);
  }
}

std::vector<float> truncated_to_bf16(std::vector<float> values) {
  for (float& v : values) v = to_float(bf16{static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(v) >> 16)});
  return values;
}

TEST(MatmulBound, CatchesTruncationALostInputAndASwappedOutput) {
  const Shape s{.M = 14, .N = 40, .K = 301};
  const auto x = rounded_to_bf16(random_values<float>(s.M * s.K, 1)), w = random_values<float>(s.N * s.K, 2);
  const std::vector<double> right = reference(s, x, rounded_to_bf16(w));
  EXPECT_GT(difference(reference(s, x, truncated_to_bf16(w)), right), 100 * kSumBound);
  std::vector<float> lost = rounded_to_bf16(w);  // the last of an odd number of inputs: the pair that is padded
  for (int n = 0; n < s.N; ++n) lost[static_cast<std::size_t>(n * s.K + s.K - 1)] = 0;
  EXPECT_GT(difference(reference(s, x, lost), right), 100 * kSumBound);
  std::vector<double> swapped = right;  // two outputs of one row
  std::swap(swapped[38], swapped[39]);
  EXPECT_GT(difference(swapped, right), 100 * kSumBound);
}

// What bf16 costs a product, and every product of the fast mode: each operand that is rounded, by 2^-9 of its power of
// two at most. Measured: 2.2e-3 to 2.4e-3 for normal numbers of any depth; truncating both instead: 6.1e-3.
TEST_P(Matmul, RoundingToBf16CostsWhatIsStated) {
  constexpr double kRoundingBound = 2.8e-3;
  Machine machine(GetParam(), Arithmetic::fast, 2);
  for (const int K : {64, 700}) {
    const Shape s{.M = 30, .N = 40, .K = K};
    const auto x = random_values<float>(s.M * s.K, 1), w = random_values<float>(s.N * s.K, 2);
    EXPECT_LT(difference(product(machine.compute, s, x, w), reference(s, x, w)), kRoundingBound) << K;
    EXPECT_GT(difference(reference(s, truncated_to_bf16(x), truncated_to_bf16(w)), reference(s, x, w)),
              1.5 * kRoundingBound);
  }
}

// In fast arithmetic too (the exact one is held to more above).
TEST_P(Matmul, ARowIsTheSameAloneAndInABatchForAnyThreads) {
  for (const Shape& s : {Shape{97, 130, 65}, {14, 1056, 33}, {3, 257, 64}}) {
    const auto x = random_values<float>(s.M * s.K, 1), w = random_values<float>(s.N * s.K, 2);
    Machine one(GetParam(), Arithmetic::fast, 1);
    const std::vector<float> together = product(one.compute, s, x, w);
    for (const int threads : {2, 3}) {
      Machine machine(GetParam(), Arithmetic::fast, threads);
      EXPECT_TRUE(same_bits(product(machine.compute, s, x, w), together)) << name_of(s) << ", " << threads;
    }
    for (int row = 0; row < s.M; row += 5) {
      const std::vector<float> alone(x.begin() + row * s.K, x.begin() + (row + 1) * s.K);
      const std::vector<float> expected(together.begin() + row * s.N, together.begin() + (row + 1) * s.N);
      EXPECT_TRUE(same_bits(product(one.compute, {1, s.N, s.K}, alone, w), expected)) << name_of(s) << ", row " << row;
    }
  }
}

// All but avx512_bf16 round each product of a pair by itself, the second one first.
TEST_P(Matmul, FastGivesTheSameBitsWithoutDotsOfBf16) {
  if (GetParam() == Isa::avx512_bf16) return;
  Machine portable(Isa::portable, Arithmetic::fast, 1), other(GetParam(), Arithmetic::fast, 1);
  for (const Shape& s : {Shape{14, 70, 301}, {1, 160, 64}, {1, 130, 12289}, {97, 33, 301}}) {
    const auto x = random_values<float>(s.M * s.K, 1), w = random_values<float>(s.N * s.K, 2);
    EXPECT_TRUE(same_bits(product(portable.compute, s, x, w), product(other.compute, s, x, w))) << name_of(s);
  }
}

// --- experts ---------------------------------------------------------------------------------------------------------

// Six experts over 101 tokens, two each: expert 1 and the last are idle, one has a single token, one has all, which is
// more than a block of 96 rows.
struct Experts {
  static constexpr int kExperts = 6, kTokens = 101, kChosen = 2;
  int N, K;
  std::vector<float> x, w;
  std::vector<std::int32_t> chosen;
  ref::TokenLists lists;

  Experts(int outputs, int inputs)
      : N(outputs),
        K(inputs),
        x(random_values<float>(kTokens * K, 1)),
        w(random_values<float>(kExperts * N * K, 2, 1 / std::sqrt(K))) {
    for (int t = 0; t < kTokens; ++t) {
      chosen.push_back(t == 7 ? 0 : 2 + t % 2);
      chosen.push_back(4);
    }
    lists = ref::token_lists(kExperts, kTokens, kChosen, chosen.data());
  }
  const float* weights_of(int e) const { return w.data() + e * N * K; }

  // [slots, N]: what matmul makes of it when each expert's rows are gathered from x.
  std::vector<float> by_kernels(const Compute& compute) const {
    std::vector<PackedMatrix> packed_E;
    for (int e = 0; e < kExperts; ++e)
      packed_E.push_back(packed(compute, N, K, std::vector<float>(weights_of(e), weights_of(e + 1))));
    const GappedRows rows(kTokens, K, x);
    GappedRows y(kTokens * kChosen, N);
    std::vector<MatmulJob> jobs;
    for (std::size_t e = 0; e < kExperts; ++e) {
      const std::int32_t first = lists.first_slot_E[e];
      jobs.push_back({.weights = &packed_E[e],
                      .x = rows.data(),
                      .x_stride = rows.stride(),
                      .y = y.data() + first * y.stride(),
                      .y_stride = y.stride(),
                      .rows = lists.first_slot_E[e + 1] - first,  // 0 for idle ones
                      .x_rows = lists.token_S.data() + first});
    }
    matmul(compute, jobs);
    return y.values();
  }
  std::vector<double> by_reference(const std::vector<float>& operands_x, const std::vector<float>& operands_w) const {
    std::vector<double> y(static_cast<std::size_t>(kTokens * kChosen * N));
    ref::grouped_matmul<double>({kExperts, N, K}, lists, converted<double>(operands_x).data(),
                                converted<double>(operands_w).data(), y.data());
    return y;
  }
};

TEST_P(Matmul, ExpertsWithManyOneAndNoTokensEqualTheReference) {
  for (const auto& [N, K] : {std::pair{70, 33}, {32, 64}, {129, 16}}) {
    Experts in(N, K);
    in.x = rounded_to_bf16(in.x);
    ASSERT_EQ(in.lists.first_slot_E[2], in.lists.first_slot_E[1]) << "expert 1 is idle";
    Machine exact(GetParam(), Arithmetic::exact, 2), fast(GetParam(), Arithmetic::fast, 2);
    EXPECT_LT(difference(in.by_kernels(exact.compute), in.by_reference(in.x, in.w)), kSumBound);
    EXPECT_LT(difference(in.by_kernels(fast.compute), in.by_reference(in.x, rounded_to_bf16(in.w))), kSumBound);
  }
}

TEST_P(Matmul, ExpertsGiveTheSameBitsForAnyThreads) {
  const Experts in(70, 33);
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine one(GetParam(), arithmetic, 1), portable(Isa::portable, arithmetic, 1);
    const std::vector<float> first = in.by_kernels(one.compute);
    for (const int threads : {2, 3}) {
      Machine machine(GetParam(), arithmetic, threads);
      EXPECT_TRUE(same_bits(in.by_kernels(machine.compute), first)) << threads;
    }
    if (arithmetic == Arithmetic::exact) EXPECT_TRUE(same_bits(in.by_kernels(portable.compute), first)) << "portable";
  }
}

TEST(MatmulBound, CatchesATokenTakenToTheWrongExpert) {
  Experts in(70, 33);
  const std::vector<double> right = in.by_reference(in.x, in.w);
  std::swap(in.lists.token_S[0], in.lists.token_S[1]);
  EXPECT_GT(difference(in.by_reference(in.x, in.w), right), 1000 * kSumBound);
}

TEST(Matmul, NoJobsAndNoRowsAreNoWork) {
  Machine machine(best_isa(), Arithmetic::fast, 2);
  matmul(machine.compute, std::span<const MatmulJob>());
  const PackedMatrix weights = packed(machine.compute, 5, 3, std::vector<float>(15, 1.0f));
  float untouched = 7;
  matmul(machine.compute,
         {.weights = &weights, .x = nullptr, .x_stride = 3, .y = &untouched, .y_stride = 5, .rows = 0});
  EXPECT_EQ(untouched, 7);
}

}  // namespace
}  // namespace hadal::testing
