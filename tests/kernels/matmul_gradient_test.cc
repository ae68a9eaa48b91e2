// The products of the backward pass, on every instruction set: inputs' gradients
// through transposed weights (dx = dy W), weights' gradients over tokens
// (dW += dy^T x), and both for experts whose rows are gathered.
#include "kernels/isas.h"
#include "kernels/matmul.h"
#include "kernels/numbers.h"
#include "kernels/ref/grouped_matmul.h"

namespace hadal::testing {
namespace {

class MatmulGradient : public ::testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(EveryIsa, MatmulGradient, ::testing::ValuesIn(runnable_isas()), isa_of_test);

// As in matmul_test.cc: sums in float32 against double. Measured: at most 1.9e-7 in both arithmetics (the fast one on
// operands that bf16 holds); the mildest mistake below, 4.3e-2.
constexpr double kSumBound = 1e-6;

std::vector<float> operand(std::ptrdiff_t count, std::uint64_t seed) {
  return rounded_to_bf16(random_values<float>(count, seed));
}

// --- dx = dy W -------------------------------------------------------------------------------------------------------

// gate and up [F, D] each, in one matrix with up at the next multiple of 32, as models keep them (model/weights.h):
// dx = dy_gate W_gate + dy_up W_up, one product over both.
struct GateUp {
  int T, D, F;
  std::vector<float> dy, gate, up;  // dy [T, up_at() + F]
  int up_at() const { return (F + 31) / 32 * 32; }

  GateUp(int tokens, int hidden, int width)
      : T(tokens), D(hidden), F(width), gate(operand(F * D, 1)), up(operand(F * D, 2)) {
    dy = operand(T * (up_at() + F), 3);
  }
  std::vector<float> by_kernels(const Compute& compute) const {
    PackedMatrix transposed;  // [D, up_at() + F]; nothing between the two
    transposed.allocate(compute.arithmetic, D, up_at() + F);
    const PackJob jobs[] = {
        {.from = gate.data(), .stride = D, .to = &transposed, .transposed = true, .first_input = 0, .inputs = F},
        {.from = up.data(), .stride = D, .to = &transposed, .transposed = true, .first_input = up_at(), .inputs = F}};
    pack(compute, jobs);
    const GappedRows rows(T, up_at() + F, dy);
    GappedRows dx(T, D);
    matmul(compute, {.weights = &transposed,
                     .x = rows.data(),
                     .x_stride = rows.stride(),
                     .y = dx.data(),
                     .y_stride = dx.stride(),
                     .rows = T});
    return dx.values();
  }
  std::vector<double> by_reference() const {
    std::vector<double> dx(static_cast<std::size_t>(T * D), 0);
    for (const auto& [weights, at] : {std::pair{&gate, 0}, {&up, up_at()}}) {
      std::vector<double> part;
      for (int t = 0; t < T; ++t)
        for (int f = 0; f < F; ++f) part.push_back(dy[static_cast<std::size_t>(t * (up_at() + F) + at + f)]);
      ref::matmul_backward<double>({T, F, D}, nullptr, converted<double>(*weights).data(), part.data(), dx.data(),
                                   nullptr);
    }
    return dx;
  }
};

TEST_P(MatmulGradient, ReachesTheInputThroughGateAndUpTogether) {
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine machine(GetParam(), arithmetic, 2);
    for (const GateUp& in : {GateUp(5, 33, 40), GateUp(1, 64, 32), GateUp(50, 70, 33), GateUp(3, 290, 7)})
      EXPECT_LT(difference(in.by_kernels(machine.compute), in.by_reference()), kSumBound) << in.T << " " << in.D;
  }
}

TEST_P(MatmulGradient, TransposedWeightsGiveTheSameBitsAsWeightsStoredTheOtherWay) {
  constexpr int kOutputs = 45, kInputs = 70, kRows = 19;
  const auto w = random_values<float>(kInputs * kOutputs, 1), x = random_values<float>(kRows * kInputs, 2);
  std::vector<float> turned;  // [kOutputs, kInputs] of w [kInputs, kOutputs]
  for (int n = 0; n < kOutputs; ++n)
    for (int k = 0; k < kInputs; ++k) turned.push_back(w[static_cast<std::size_t>(k * kOutputs + n)]);
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine machine(GetParam(), arithmetic, 1);
    std::vector<std::vector<float>> results;
    for (const PackJob& from : {PackJob{.from = w.data(), .stride = kOutputs, .to = nullptr, .transposed = true},
                                PackJob{.from = turned.data(), .stride = kInputs, .to = nullptr}}) {
      PackedMatrix matrix;
      matrix.allocate(arithmetic, kOutputs, kInputs);
      PackJob job = from;
      job.to = &matrix;
      pack(machine.compute, std::span(&job, 1));
      std::vector<float> y(kRows * kOutputs);
      matmul(
          machine.compute,
          {.weights = &matrix, .x = x.data(), .x_stride = kInputs, .y = y.data(), .y_stride = kOutputs, .rows = kRows});
      results.push_back(y);
    }
    EXPECT_TRUE(same_bits(results[0], results[1])) << arithmetic_name(arithmetic);
  }
}

// --- dW += dy^T x ----------------------------------------------------------------------------------------------------

struct WeightShape {
  int T, N, K;  // tokens, outputs, inputs
};
// Blocks of 128 outputs, 256 inputs and 256 tokens from both sides; odd token counts, which bf16 pairs must pad.
constexpr WeightShape kWeightShapes[] = {{1, 33, 40},  {2, 1, 5},     {3, 128, 32}, {5, 129, 257}, {29, 127, 33},
                                         {40, 6, 300}, {255, 13, 33}, {256, 9, 31}, {257, 17, 40}, {513, 5, 16}};

std::vector<float> weight_gradient_of(const Compute& compute, const WeightShape& s, const std::vector<float>& dy,
                                      const std::vector<float>& x, const std::vector<float>& start) {
  const GappedRows dys(s.T, s.N, dy), xs(s.T, s.K, x);
  GappedRows dw(s.N, s.K, start);
  const WeightGradientJob job{.dy = dys.data(),
                              .dy_stride = dys.stride(),
                              .x = xs.data(),
                              .x_stride = xs.stride(),
                              .dw = dw.data(),
                              .dw_stride = dw.stride(),
                              .rows = s.T,
                              .outputs = s.N,
                              .inputs = s.K};
  weight_gradient(compute, std::span(&job, 1));
  return dw.values();
}

// Tokens in ascending order on top of what is there, one rounding each: the training step's bits rest on it.
TEST_P(MatmulGradient, ExactWeightGradientIsOneChainOverTokensForAnyThreads) {
  for (const int threads : {1, 2, 3}) {
    Machine machine(GetParam(), Arithmetic::exact, threads);
    for (const WeightShape& s : kWeightShapes) {
      const auto dy = random_values<float>(s.T * s.N, 1), x = random_values<float>(s.T * s.K, 2);
      std::vector<float> promised = random_values<float>(s.N * s.K, 3);
      const std::vector<float> dw = weight_gradient_of(machine.compute, s, dy, x, promised);
      for (std::size_t i = 0; i < promised.size(); ++i) {
        const auto N = static_cast<std::size_t>(s.N), K = static_cast<std::size_t>(s.K);
        for (std::size_t t = 0; t < static_cast<std::size_t>(s.T); ++t)
          promised[i] = std::fma(dy[t * N + i / K], x[t * K + i % K], promised[i]);
      }
      EXPECT_TRUE(same_bits(dw, promised))
          << s.T << " tokens, " << s.N << " x " << s.K << ", " << threads << " threads";
    }
  }
}

std::vector<double> weight_reference(const WeightShape& s, const std::vector<float>& dy, const std::vector<float>& x,
                                     const std::vector<float>& start) {
  std::vector<double> dw = converted<double>(start);
  ref::matmul_backward<double>({s.T, s.N, s.K}, converted<double>(x).data(), nullptr, converted<double>(dy).data(),
                               nullptr, dw.data());
  return dw;
}

TEST_P(MatmulGradient, FastWeightGradientIsTheReferenceOnRoundedOperands) {
  Machine one(GetParam(), Arithmetic::fast, 1), three(GetParam(), Arithmetic::fast, 3);
  for (const WeightShape& s : kWeightShapes) {
    const auto dy = operand(s.T * s.N, 1), x = operand(s.T * s.K, 2), start = random_values<float>(s.N * s.K, 3);
    const std::vector<float> dw = weight_gradient_of(one.compute, s, dy, x, start);
    EXPECT_LT(difference(dw, weight_reference(s, dy, x, start)), kSumBound) << s.T;
    EXPECT_TRUE(same_bits(dw, weight_gradient_of(three.compute, s, dy, x, start))) << s.T;
  }
}

TEST(MatmulGradientBound, CatchesALostTokenAndAGradientThatStartsAnew) {
  const WeightShape s{.T = 257, .N = 17, .K = 40};
  auto dy = operand(s.T * s.N, 1);
  const auto x = operand(s.T * s.K, 2), start = random_values<float>(s.N * s.K, 3);
  const std::vector<double> right = weight_reference(s, dy, x, start);
  EXPECT_GT(difference(weight_reference(s, dy, x, std::vector<float>(start.size(), 0.0f)), right), 1000 * kSumBound);
  std::fill(dy.end() - s.N, dy.end(), 0.0f);  // the odd last one
  EXPECT_GT(difference(weight_reference(s, dy, x, start), right), 1000 * kSumBound);
}

// --- experts ---------------------------------------------------------------------------------------------------------

constexpr int kExperts = 5, kTokens = 23, kChosen = 2, kHidden = 45, kWidth = 33;

// Expert 3 is idle, expert 1 has one token.
ref::TokenLists expert_lists() {
  std::vector<std::int32_t> chosen;
  for (int t = 0; t < kTokens; ++t) {
    chosen.push_back(t == 4 ? 1 : 0);
    chosen.push_back(t % 3 == 0 ? 2 : 4);
  }
  return ref::token_lists(kExperts, kTokens, kChosen, chosen.data());
}

// The gradients of y_slot = W_e x_token as the trainer takes them: the input's by slot, then added up by token; the
// weights' with rows of x gathered.
TEST_P(MatmulGradient, ExpertsEqualTheReferenceAndAnIdleOneHasNone) {
  const ref::TokenLists lists = expert_lists();
  const std::ptrdiff_t slots = kTokens * kChosen;
  const auto x = operand(kTokens * kHidden, 1), w = operand(kExperts * kWidth * kHidden, 2),
             dy = operand(slots * kWidth, 3);
  std::vector<double> dx_right(kTokens * kHidden, 0), dw_right(w.size(), 0);
  ref::grouped_matmul_backward<double>({kExperts, kWidth, kHidden}, lists, converted<double>(x).data(),
                                       converted<double>(w).data(), converted<double>(dy).data(), dx_right.data(),
                                       dw_right.data());
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine machine(GetParam(), arithmetic, 2);
    std::vector<PackedMatrix> transposed(kExperts);
    std::vector<PackJob> packs;
    std::vector<MatmulJob> products;
    std::vector<WeightGradientJob> gradients;
    std::vector<float> dx_slots(static_cast<std::size_t>(slots * kHidden)), dw(w.size(), 0.0f);
    for (std::size_t e = 0; e < kExperts; ++e) {
      transposed[e].allocate(arithmetic, kHidden, kWidth);
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(e) * kWidth * kHidden, first = lists.first_slot_E[e];
      const int rows = lists.first_slot_E[e + 1] - lists.first_slot_E[e];
      packs.push_back({.from = w.data() + at, .stride = kHidden, .to = &transposed[e], .transposed = true});
      products.push_back({.weights = &transposed[e],
                          .x = dy.data() + first * kWidth,
                          .x_stride = kWidth,
                          .y = dx_slots.data() + first * kHidden,
                          .y_stride = kHidden,
                          .rows = rows});
      gradients.push_back({.dy = dy.data() + first * kWidth,
                           .dy_stride = kWidth,
                           .x = x.data(),
                           .x_stride = kHidden,
                           .dw = dw.data() + at,
                           .dw_stride = kHidden,
                           .rows = rows,
                           .outputs = kWidth,
                           .inputs = kHidden,
                           .x_rows = lists.token_S.data() + first});
    }
    pack(machine.compute, packs);
    matmul(machine.compute, products);
    weight_gradient(machine.compute, gradients);
    std::vector<float> dx(kTokens * kHidden, 0.0f);
    for (std::size_t slot = 0; slot < static_cast<std::size_t>(slots); ++slot)
      for (std::size_t i = 0; i < kHidden; ++i)
        dx[static_cast<std::size_t>(lists.token_S[slot]) * kHidden + i] += dx_slots[slot * kHidden + i];
    EXPECT_LT(difference(dx, dx_right), kSumBound) << arithmetic_name(arithmetic);
    EXPECT_LT(difference(dw, dw_right), kSumBound) << arithmetic_name(arithmetic);
    for (std::size_t i = 3 * kWidth * kHidden; i < 4 * kWidth * kHidden; ++i) ASSERT_EQ(dw[i], 0.0f);
  }
}

// dW of an expert's second matrix gathers the other side: d_x rows by token, activations by slot.
TEST_P(MatmulGradient, EitherSideOfAWeightGradientCanBeGathered) {
  constexpr int kRows = 259;  // more than a block of 256
  std::vector<std::int32_t> picked;
  for (int i = 0; i < kRows; ++i) picked.push_back(i * 5 % kTokens);
  const auto dy = operand(kTokens * kWidth, 1), x = operand(kTokens * kHidden, 2);
  const auto rows_of = [&](const std::vector<float>& from, int width, const std::vector<std::int32_t>& rows) {
    std::vector<float> gathered;
    for (const std::int32_t r : rows)
      gathered.insert(gathered.end(), &from[static_cast<std::size_t>(r * width)],
                      &from[static_cast<std::size_t>(r * width)] + width);
    return gathered;
  };
  const std::vector<float> dy_rows = rows_of(dy, kWidth, picked), x_rows = rows_of(x, kHidden, picked);
  const WeightShape shape{kRows, kWidth, kHidden};
  const std::vector<float> zero(kWidth * kHidden, 0.0f);
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine machine(GetParam(), arithmetic, 2);
    const std::vector<float> right = weight_gradient_of(machine.compute, shape, dy_rows, x_rows, zero);
    std::vector<float> by_dy = zero, by_both = zero;
    const WeightGradientJob both{.dy = dy.data(),
                                 .dy_stride = kWidth,
                                 .x = x.data(),
                                 .x_stride = kHidden,
                                 .dw = by_both.data(),
                                 .dw_stride = kHidden,
                                 .rows = kRows,
                                 .outputs = kWidth,
                                 .inputs = kHidden,
                                 .dy_rows = picked.data(),
                                 .x_rows = picked.data()};
    WeightGradientJob dy_only = both;
    dy_only.x = x_rows.data();
    dy_only.x_rows = nullptr;
    dy_only.dw = by_dy.data();
    const WeightGradientJob jobs[] = {both, dy_only};
    weight_gradient(machine.compute, jobs);
    EXPECT_TRUE(same_bits(by_both, right)) << arithmetic_name(arithmetic);
    EXPECT_TRUE(same_bits(by_dy, right)) << arithmetic_name(arithmetic);
  }
}

}  // namespace
}  // namespace hadal::testing
