// Kernels on single rows (norms, SwiGLU, softmax, bf16 conversion, rotation), on
// every instruction set: against the reference in double, with the same bits on
// all, and without touching what lies behind a row.
#include <array>

#include "kernels/isas.h"
#include "kernels/numbers.h"
#include "kernels/ref/cross_entropy.h"
#include "kernels/ref/rms_norm.h"
#include "kernels/ref/rope.h"
#include "kernels/ref/swiglu.h"
#include "kernels/rope.h"

namespace hadal::testing {
namespace {

// A register has 16 floats: none full, whole ones, all remainders that matter, and a model's width.
constexpr int kWidths[] = {1, 2, 7, 15, 16, 17, 31, 32, 33, 100, 256, 1027};

// Measured over all of the kernels below, widths and instruction sets: at most 1.9e-7; the mildest mistake, 1.5e-2.
constexpr double kBound = 1e-6, kMistake = 1e-2;

class Rows : public ::testing::TestWithParam<Isa> {
 protected:
  const KernelTable& kernels() const { return *kernels_for(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(EveryIsa, Rows, ::testing::ValuesIn(runnable_isas()), isa_of_test);

// n values and a guard behind them: a kernel that writes whole registers would be seen.
struct Row {
  std::vector<float> memory;
  explicit Row(const std::vector<float>& values) : memory(values) { memory.resize(values.size() + 16, -77.0f); }
  explicit Row(int n) : Row(std::vector<float>(static_cast<std::size_t>(n), 1e9f)) {}
  float* data() { return memory.data(); }
  std::vector<float> values() const {
    for (std::size_t i = memory.size() - 16; i < memory.size(); ++i)
      EXPECT_EQ(memory[i], -77.0f) << "written behind " << memory.size() - 16 << " values";
    return {memory.begin(), memory.end() - 16};
  }
};

// Runs `f(table, n)`, which returns what it computed, on this instruction set and the portable one.
template <class Body>
void expect_same_bits_as_portable(const KernelTable& kernels, Body f) {
  for (const int n : kWidths) EXPECT_TRUE(same_bits(f(kernels, n), f(*kernels_for(Isa::portable), n))) << "width " << n;
}

// --- RMSNorm ---------------------------------------------------------------------------------------------------------

constexpr float kEps = 1e-2f;  // large, so that its place matters

std::vector<float> normed(const KernelTable& kernels, int n) {  // the row, then what is returned
  const auto x = random_values<float>(n, 1, 0.5), w = random_values<float>(n, 2);
  Row y(n);
  const float inverse_rms = kernels.rms_norm(x.data(), w.data(), n, kEps, y.data());
  std::vector<float> all = y.values();
  all.push_back(inverse_rms);
  return all;
}

std::vector<double> normed_reference(int n, double eps) {
  const auto x = converted<double>(random_values<float>(n, 1, 0.5)), w = converted<double>(random_values<float>(n, 2));
  std::vector<double> y(static_cast<std::size_t>(n));
  ref::rms_norm<double>({1, n}, x.data(), w.data(), eps, y.data());
  y.push_back(ref::inverse_rms<double>(n, x.data(), eps));
  return y;
}

TEST_P(Rows, RmsNormEqualsTheReference) {
  for (const int n : kWidths) EXPECT_LT(difference(normed(kernels(), n), normed_reference(n, kEps)), kBound) << n;
  EXPECT_GT(difference(normed(kernels(), 100), normed_reference(100, 0)), kMistake) << "epsilon forgotten";
  expect_same_bits_as_portable(kernels(), normed);
}

// d_x, then d_w. Both start from something where they are added to.
std::vector<float> norm_gradients(const KernelTable& kernels, int n, bool accumulate) {
  const auto x = random_values<float>(n, 1, 0.5), w = random_values<float>(n, 2), dy = random_values<float>(n, 3);
  Row dx(random_values<float>(n, 4)), dw(random_values<float>(n, 5));
  const float inverse_rms = ref::inverse_rms<float>(n, x.data(), kEps);
  kernels.rms_norm_backward(x.data(), w.data(), dy.data(), inverse_rms, n, dx.data(), accumulate, dw.data());
  std::vector<float> all = dx.values();
  for (const float d : dw.values()) all.push_back(d);
  return all;
}

std::vector<double> norm_gradients_reference(int n, bool accumulate) {
  const auto x = converted<double>(random_values<float>(n, 1, 0.5)), w = converted<double>(random_values<float>(n, 2)),
             dy = converted<double>(random_values<float>(n, 3));
  std::vector<double> dx = converted<double>(random_values<float>(n, 4)),
                      dw = converted<double>(random_values<float>(n, 5));
  if (!accumulate) std::fill(dx.begin(), dx.end(), 0.0);
  ref::rms_norm_backward<double>({1, n}, x.data(), w.data(), dy.data(), kEps, dx.data(), dw.data());
  dx.insert(dx.end(), dw.begin(), dw.end());
  return dx;
}

TEST_P(Rows, RmsNormBackwardEqualsTheReference) {
  for (const bool accumulate : {false, true}) {
    for (const int n : kWidths)
      EXPECT_LT(difference(norm_gradients(kernels(), n, accumulate), norm_gradients_reference(n, accumulate)), kBound)
          << n;
    expect_same_bits_as_portable(kernels(),
                                 [&](const KernelTable& table, int n) { return norm_gradients(table, n, accumulate); });
  }
  EXPECT_GT(difference(norm_gradients(kernels(), 100, true), norm_gradients_reference(100, false)), kMistake);
}

// --- SwiGLU ----------------------------------------------------------------------------------------------------------

std::vector<float> gates(int n) {  // far enough for sigmoid's both ends
  return random_values<float>(n, 1, 6);
}

std::vector<float> activated(const KernelTable& kernels, int n) {
  Row out(n);
  kernels.swiglu(gates(n).data(), random_values<float>(n, 2).data(), 0.7f, n, out.data());
  return out.values();
}

TEST_P(Rows, SwigluEqualsTheReferenceTimesTheWeight) {
  for (const int n : kWidths) {
    std::vector<double> right(static_cast<std::size_t>(n));
    ref::swiglu<double>(n, converted<double>(gates(n)).data(), random_values<double>(n, 2).data(), right.data());
    const std::vector<double> unweighted = right;
    for (double& r : right) r *= 0.7;
    EXPECT_LT(difference(activated(kernels(), n), right), kBound) << n;
    EXPECT_GT(difference(activated(kernels(), n), unweighted), kMistake);
  }
  expect_same_bits_as_portable(kernels(), activated);
}

// d_gate, d_up, and the gradient of the weight.
std::vector<float> swiglu_gradients(const KernelTable& kernels, int n) {
  Row d_gate(n), d_up(n);
  const float d_weight =
      kernels.swiglu_backward(gates(n).data(), random_values<float>(n, 2).data(), random_values<float>(n, 3).data(),
                              0.7f, n, d_gate.data(), d_up.data());
  std::vector<float> all = d_gate.values();
  for (const float d : d_up.values()) all.push_back(d);
  all.push_back(d_weight);
  return all;
}

TEST_P(Rows, SwigluBackwardEqualsTheReference) {
  for (const int n : kWidths) {
    const auto gate = converted<double>(gates(n)), up = converted<double>(random_values<float>(n, 2));
    std::vector<double> d_out = converted<double>(random_values<float>(n, 3)), out(gate.size());
    ref::swiglu<double>(n, gate.data(), up.data(), out.data());
    double d_weight = 0;
    for (std::size_t i = 0; i < out.size(); ++i) d_weight += d_out[i] * out[i];
    for (double& d : d_out) d *= 0.7;
    std::vector<double> right(gate.size(), 0), d_up(gate.size(), 0);
    ref::swiglu_backward<double>(n, gate.data(), up.data(), d_out.data(), right.data(), d_up.data());
    right.insert(right.end(), d_up.begin(), d_up.end());
    right.push_back(d_weight);
    EXPECT_LT(difference(swiglu_gradients(kernels(), n), right), kBound) << n;
    right.back() *= 0.7;  // the weight's gradient taken with the weight in it
    if (n >= 100) {
      EXPECT_GT(difference(swiglu_gradients(kernels(), n), right), kMistake);
    }
  }
  expect_same_bits_as_portable(kernels(), swiglu_gradients);
}

TEST_P(Rows, SigmoidIsRightToItsEnds) {
  const std::vector<float> x = {0, 1, -1, 10, -10, 30, -30, 80, -80, 86, -86, 200, 1e-8f, -1e-3f, 5, 7, -200};
  const int n = static_cast<int>(x.size());
  Row y(n);
  kernels().sigmoid(x.data(), n, y.data());
  const std::vector<float> got = y.values();
  for (std::size_t i = 0; i + 1 < x.size(); ++i)
    EXPECT_LT(std::abs(static_cast<double>(got[i]) / ref::sigmoid(static_cast<double>(x[i])) - 1), 4e-7)
        << x[i];  // measured: 6.7e-8

  EXPECT_GE(got.back(), 0.0f);
  EXPECT_LT(got.back(), 1e-38f) << "and not infinite on the way";
  expect_same_bits_as_portable(kernels(), [](const KernelTable& table, int width) {
    Row out(width);
    table.sigmoid(gates(width).data(), width, out.data());
    return out.values();
  });
}

// --- softmax ---------------------------------------------------------------------------------------------------------

std::vector<float> probabilities(const KernelTable& kernels, int n, float shift) {  // and the log of the sum
  std::vector<float> logits = random_values<float>(n, 1, 4);
  for (float& l : logits) l += shift;
  Row row(logits);
  const float lse = kernels.softmax(row.data(), n);
  std::vector<float> all = row.values();
  all.push_back(lse);
  return all;
}

TEST_P(Rows, SoftmaxEqualsTheReferenceForLogitsOfAnySize) {
  for (const float shift : {0.0f, 300.0f, -300.0f})
    for (const int n : kWidths) {
      std::vector<float> logits = random_values<float>(n, 1, 4);
      for (float& l : logits) l += shift;
      const std::vector<double> exact = converted<double>(logits);
      const double lse = ref::log_sum_exp(n, exact.data());
      std::vector<double> right;
      for (const double l : exact) right.push_back(std::exp(l - lse));
      std::vector<float> got = probabilities(kernels(), n, shift);
      EXPECT_NEAR(got.back(), lse, 4e-7 * std::abs(lse) + 4e-7) << n;
      got.pop_back();
      EXPECT_LT(difference(got, right), kBound) << n;
    }
  expect_same_bits_as_portable(kernels(),
                               [](const KernelTable& table, int n) { return probabilities(table, n, 3.0f); });
}

// Two logits, 0 and x: the second probability over the first is e^x.
TEST_P(Rows, ExponentialIsWithinTwoUnitsInTheLastPlace) {
  double worst = 0;
  for (double x = 0; x > -87; x -= 0.0371) {
    std::array<float, 2> row = {0.0f, static_cast<float>(x)};
    const double right = std::exp(static_cast<double>(row[1]));
    kernels().softmax(row.data(), 2);
    worst = std::max(worst, std::abs(static_cast<double>(row[1]) / static_cast<double>(row[0]) / right - 1));
  }
  EXPECT_LT(worst, 2 * 0x1p-23);  // measured: 1.0e-7
  std::array<float, 2> masked = {0.0f, -87.1f};
  kernels().softmax(masked.data(), 2);
  EXPECT_EQ(masked[1], 0.0f) << "below -87 is exactly nothing";
}

// --- sums and conversions --------------------------------------------------------------------------------------------

TEST_P(Rows, DotAddAndScaleEqualTheirDefinitions) {
  for (const int n : kWidths) {
    const auto x = random_values<float>(n, 1), y = random_values<float>(n, 2);
    double dot = 0, size = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      dot += static_cast<double>(x[i]) * static_cast<double>(y[i]);
      size += std::abs(static_cast<double>(x[i]) * static_cast<double>(y[i]));
    }
    EXPECT_NEAR(kernels().dot(x.data(), y.data(), n), dot, kBound * size) << n;
    Row sum(y), scaled(x);
    kernels().add_scaled(x.data(), 0.3f, n, sum.data());
    kernels().scale(scaled.data(), 0.3f, n);
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(sum.values()[i], std::fma(x[i], 0.3f, y[i]));
      EXPECT_EQ(scaled.values()[i], x[i] * 0.3f);
    }
  }
  expect_same_bits_as_portable(kernels(), [](const KernelTable& table, int n) {
    const auto x = random_values<float>(n, 1), y = random_values<float>(n, 2);
    return std::vector<float>{table.dot(x.data(), y.data(), n)};
  });
}

TEST_P(Rows, Bf16RoundsToTheNearestEvenAndPadsWithZeros) {
  for (const int n : kWidths) {
    std::vector<float> x = random_values<float>(n, 1, 1e3);
    // Ties either way, the carry into the exponent, the largest number that rounds to infinity, signs, zero.
    const float cases[] = {0x1.01p0f, 0x1.03p0f, -0x1.01p0f, 0x1.fffp0f, 0x1.fep127f, 0x1.ffp127f, 0.0f, -0.0f};
    for (std::size_t i = 0; i < x.size() && i < std::size(cases); ++i) x[x.size() - 1 - i] = cases[i];
    const int padded = n + n % 2 + 4;
    std::vector<std::uint16_t> half(static_cast<std::size_t>(padded) + 16, 0xdead);
    kernels().narrow_row(x.data(), n, padded, half.data());
    Row wide(n);
    kernels().widen_row(half.data(), n, wide.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(half[i], to_bf16(x[i]).bits) << x[i];
      EXPECT_EQ(std::bit_cast<std::uint32_t>(wide.values()[i]), static_cast<std::uint32_t>(half[i]) << 16);
    }
    for (int i = n; i < padded; ++i) EXPECT_EQ(half[static_cast<std::size_t>(i)], 0);
    for (std::size_t i = static_cast<std::size_t>(padded); i < half.size(); ++i) EXPECT_EQ(half[i], 0xdead);
  }
}

// --- rotation --------------------------------------------------------------------------------------------------------

TEST(RowsRope, RotatesAdjacentPairsAsTheReferenceAndBack) {
  const ref::RopeShape s{.T = 3, .H = 1, .R = 16};
  const std::vector<std::int32_t> positions = {0, 7, 163000};
  std::vector<float> frequencies;
  for (int i = 0; i < 8; ++i) frequencies.push_back(std::pow(10000.0f, -static_cast<float>(i) / 8));
  const auto x = random_values<float>(s.T * s.R, 1);
  std::vector<double> right(x.size());
  ref::rope<double>(s, converted<double>(x).data(), positions.data(), converted<double>(frequencies).data(),
                    right.data());
  std::vector<float> y = x, cos_sin(16);
  for (std::size_t t = 0; t < 3; ++t) {
    rope_angles(frequencies, positions[t], cos_sin.data());
    rope_rotate(cos_sin.data(), 8, 1, y.data() + t * 16);
  }
  EXPECT_LT(difference(y, right), kBound);
  std::vector<float> in_float(x.size());
  ref::rope<float>(s, x.data(), positions.data(), frequencies.data(), in_float.data());
  EXPECT_GT(difference(in_float, right), 10 * kBound) << "a float cannot hold the angle of a far position";
  std::vector<double> halves(x.size());  // the other layout: pair i is (i, i + 8)
  for (std::size_t i = 0; i < x.size(); ++i) halves[i] = right[i / 16 * 16 + (i % 2) * 8 + i % 16 / 2];
  EXPECT_GT(difference(y, halves), kMistake);
  for (std::size_t t = 0; t < 3; ++t) {
    rope_angles(frequencies, positions[t], cos_sin.data());
    rope_rotate(cos_sin.data(), 8, -1, y.data() + t * 16);
  }
  EXPECT_LT(difference(y, x), kBound);
}

}  // namespace
}  // namespace hadal::testing
