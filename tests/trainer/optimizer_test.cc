// AdamW and Muon against their formulas, written here once more in double and in the plainest way.
#include "trainer/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace hadal {
namespace {

ParameterSlot slot(std::string name, TensorRole role, std::vector<std::int64_t> shape, std::int64_t offset,
                   bool trained = true) {
  TensorSpec tensor;
  tensor.name = std::move(name);
  tensor.role = role;
  tensor.shape = std::move(shape);
  return {std::move(tensor), offset, trained};
}

std::vector<float> random_floats(std::size_t n, std::uint64_t seed, double scale = 1) {
  Rng rng(seed);
  std::vector<float> out(n);
  for (float& x : out) x = static_cast<float>(scale * rng.next_normal());
  return out;
}

struct Threads {
  explicit Threads(int n, Arithmetic arithmetic = Arithmetic::exact)
      : pool(n), compute(make_compute(pool, arithmetic)) {}
  ThreadPool pool;
  Compute compute;
};

TEST(AdamW, TwoStepsByHand) {
  Threads one(1);
  const std::vector<ParameterSlot> slots{slot("w", TensorRole::lm_head, {1, 2}, 0),
                                         slot("n", TensorRole::final_norm, {1}, 2)};
  Optimizer optimizer(one.compute, slots, OptimizerKind::adamw);
  OptimizerRecipe recipe;
  recipe.learning_rate = 0.1;
  recipe.weight_decay = 0.5;
  recipe.clip_norm = 0;
  std::vector<float> p{1.0f, -2.0f, 3.0f};
  double m[3] = {}, v[3] = {}, want[3] = {1, -2, 3};
  for (int t = 1; t <= 2; ++t) {
    std::vector<float> g{0.5f, -1.0f * static_cast<float>(t), 2.0f};
    for (int i = 0; i < 3; ++i) {
      const double gradient = g[static_cast<std::size_t>(i)];
      m[i] = 0.9 * m[i] + 0.1 * gradient;
      v[i] = 0.95 * v[i] + 0.05 * gradient * gradient;
      if (i < 2) want[i] *= 1 - 0.1 * 0.5;  // the norm, of one dimension, does not decay
      want[i] -= 0.1 * (m[i] / (1 - std::pow(0.9, t))) / (std::sqrt(v[i] / (1 - std::pow(0.95, t))) + 1e-8);
    }
    optimizer.step(recipe, 1.0, optimizer.gradient_norm(g), p, g);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(p[i], want[i], 1e-6) << "step " << t << " element " << i;
      EXPECT_EQ(g[i], 0.0f);
    }
  }
}

TEST(AdamW, ClipsByTheGlobalNorm) {
  Threads one(1);
  const std::vector<ParameterSlot> slots{slot("a", TensorRole::lm_head, {1, 1}, 0),
                                         slot("b", TensorRole::final_norm, {1}, 1)};
  Optimizer optimizer(one.compute, slots, OptimizerKind::adamw);
  std::vector<float> g{3.0f, 4.0f}, p{0.0f, 0.0f};
  EXPECT_DOUBLE_EQ(optimizer.gradient_norm(g), 5.0);
  OptimizerRecipe recipe;
  recipe.clip_norm = 1.0;
  optimizer.step(recipe, 1.0, 5.0, p, g);
  EXPECT_NEAR(optimizer.state().first[0], 0.1 * 3.0 / 5, 1e-7);
  EXPECT_NEAR(optimizer.state().first[1], 0.1 * 4.0 / 5, 1e-7);
}

TEST(AdamW, LeavesUntrainedSlotsAloneAndOutOfTheNorm) {
  Threads one(1);
  const std::vector<ParameterSlot> slots{slot("w", TensorRole::lm_head, {1, 1}, 0),
                                         slot("bias", TensorRole::router_bias, {2}, 1, /*trained=*/false)};
  Optimizer optimizer(one.compute, slots, OptimizerKind::adamw);
  std::vector<float> g{2.0f, 100.0f, 100.0f}, p{1.0f, 7.0f, 8.0f};
  EXPECT_DOUBLE_EQ(optimizer.gradient_norm(g), 2.0);
  optimizer.step({}, 1.0, 2.0, p, g);
  EXPECT_EQ(p[1], 7.0f);
  EXPECT_EQ(p[2], 8.0f);
}

TEST(Optimizer, SaysThatAGradientIsNotFinite) {
  Threads one(1);
  const std::vector<ParameterSlot> slots{slot("w", TensorRole::lm_head, {1, 3}, 0)};
  Optimizer optimizer(one.compute, slots, OptimizerKind::adamw);
  EXPECT_FALSE(std::isfinite(optimizer.gradient_norm(std::vector<float>{1, NAN, 2})));
  EXPECT_FALSE(std::isfinite(optimizer.gradient_norm(std::vector<float>{1, INFINITY, 2})));
}

// W W^T of an orthogonalised wide matrix.
std::vector<double> gram(const float* w, int rows, int cols) {
  std::vector<double> out;
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < rows; ++j) {
      double sum = 0;
      for (int k = 0; k < cols; ++k) sum += static_cast<double>(w[i * cols + k]) * w[j * cols + k];
      out.push_back(sum);
    }
  return out;
}

TEST(Muon, OneIterationIsThePolynomial) {
  Threads one(1);
  NewtonSchulz newton_schulz(one.compute);
  constexpr int kRows = 3, kCols = 5;
  std::vector<float> x = random_floats(kRows * kCols, 3);
  double norm = 0;
  for (const float v : x) norm += static_cast<double>(v) * v;
  std::vector<float> scaled = x;
  for (float& v : scaled) v = static_cast<float>(v / std::sqrt(norm));
  const std::vector<double> a = gram(scaled.data(), kRows, kCols);
  std::vector<double> want(x.size());
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kCols; ++j) {
      double sum = 3.4445 * scaled[static_cast<std::size_t>(i * kCols + j)];
      for (int k = 0; k < kRows; ++k) {
        double a2 = 0;
        for (int l = 0; l < kRows; ++l)
          a2 += a[static_cast<std::size_t>(i * 3 + l)] * a[static_cast<std::size_t>(l * 3 + k)];
        sum += (-4.7750 * a[static_cast<std::size_t>(i * 3 + k)] + 2.0315 * a2) *
               scaled[static_cast<std::size_t>(k * kCols + j)];
      }
      want[static_cast<std::size_t>(i * kCols + j)] = sum;
    }
  newton_schulz.orthogonalise(x, 1, kRows, kCols, 1);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], want[i], 1e-5) << i;
}

TEST(Muon, FiveIterationsBringSingularValuesNearOne) {
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Threads two(2, arithmetic);
    NewtonSchulz newton_schulz(two.compute);
    constexpr int kRows = 32, kCols = 64, kCount = 3;
    std::vector<float> x = random_floats(kCount * kRows * kCols, 7, 0.01);
    newton_schulz.orthogonalise(x, kCount, kRows, kCols, 5);
    for (int m = 0; m < kCount; ++m) {
      const std::vector<double> w = gram(&x[static_cast<std::size_t>(m * kRows * kCols)], kRows, kCols);
      double trace = 0, off = 0;
      for (int i = 0; i < kRows; ++i)
        for (int j = 0; j < kRows; ++j) {
          const double value = w[static_cast<std::size_t>(i * kRows + j)];
          if (i == j)
            trace += value;
          else
            off = std::max(off, std::abs(value));
        }
      EXPECT_GT(trace / kRows, 0.5) << m;  // mean square of singular values, each in about [0.7, 1.2]
      EXPECT_LT(trace / kRows, 1.4) << m;
      EXPECT_LT(off, 0.35) << m;
    }
  }
}

TEST(Muon, AMatrixOfZerosStaysZero) {
  Threads one(1);
  NewtonSchulz newton_schulz(one.compute);
  std::vector<float> x(4 * 8, 0.0f);
  newton_schulz.orthogonalise(x, 1, 4, 8, 5);
  for (const float v : x) EXPECT_EQ(v, 0.0f);
}

TEST(Muon, TallAndWideMatricesMoveAlike) {
  // Transposing weights and gradients transposes the update: orthogonalisation has no preferred side.
  Threads one(1);
  constexpr int kRows = 4, kCols = 6;
  const std::vector<float> w = random_floats(kRows * kCols, 1), g = random_floats(kRows * kCols, 2);
  const auto transposed = [&](const std::vector<float>& m) {
    std::vector<float> out(m.size());
    for (std::size_t i = 0; i < kRows; ++i)
      for (std::size_t j = 0; j < kCols; ++j) out[j * kRows + i] = m[i * kCols + j];
    return out;
  };
  OptimizerRecipe recipe;
  recipe.kind = OptimizerKind::muon;
  recipe.learning_rate = 0.1;
  std::vector<float> wide = w, tall = transposed(w), wide_g = g, tall_g = transposed(g);
  const std::vector<ParameterSlot> wide_slots{slot("w", TensorRole::o_proj, {kRows, kCols}, 0)};
  const std::vector<ParameterSlot> tall_slots{slot("w", TensorRole::o_proj, {kCols, kRows}, 0)};
  Optimizer a(one.compute, wide_slots, OptimizerKind::muon), b(one.compute, tall_slots, OptimizerKind::muon);
  a.step(recipe, 1.0, 0.5, wide, wide_g);
  b.step(recipe, 1.0, 0.5, tall, tall_g);
  const std::vector<float> back = transposed(wide);
  double moved = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    EXPECT_NEAR(back[i], tall[i], 1e-6);
    moved += std::pow(wide[i] - w[i] * (1 - 0.1 * 0.1), 2);
  }
  // The root mean square of an update is 0.2 of the rate, times singular values near one and sqrt(4 / 6) columns of
  // rank.
  EXPECT_NEAR(std::sqrt(moved / (kRows * kCols)), 0.1 * 0.2 * std::sqrt(6.0) / std::sqrt(6.0), 0.006);
}

TEST(Muon, TakesHiddenMatricesAndLeavesTheRestToAdamW) {
  const auto is_muon = [](TensorRole role, std::vector<std::int64_t> shape) {
    return Optimizer::is_muon_matrix(slot("x", role, std::move(shape), 0).tensor);
  };
  EXPECT_TRUE(is_muon(TensorRole::expert_up, {4, 8}));
  EXPECT_TRUE(is_muon(TensorRole::q_proj, {4, 8}));
  EXPECT_TRUE(is_muon(TensorRole::kv_b_proj, {4, 8}));
  EXPECT_FALSE(is_muon(TensorRole::embed_tokens, {4, 8}));
  EXPECT_FALSE(is_muon(TensorRole::lm_head, {4, 8}));
  EXPECT_FALSE(is_muon(TensorRole::router, {4, 8}));
  EXPECT_FALSE(is_muon(TensorRole::input_layernorm, {8}));
}

struct Mixed {  // both kinds of slots, sizes that fill no chunk evenly
  std::vector<ParameterSlot> slots;
  std::size_t size = 0;
  Mixed() {
    const auto add = [&](std::string name, TensorRole role, std::vector<std::int64_t> shape) {
      slots.push_back(slot(std::move(name), role, std::move(shape), static_cast<std::int64_t>(size)));
      size += static_cast<std::size_t>(slots.back().tensor.elements());
    };
    add("embed", TensorRole::embed_tokens, {700, 63});
    for (int e = 0; e < 5; ++e) add("up" + std::to_string(e), TensorRole::expert_up, {24, 40});
    for (int e = 0; e < 5; ++e) add("down" + std::to_string(e), TensorRole::expert_down, {40, 24});
    add("norm", TensorRole::final_norm, {63});
  }
};

std::vector<float> after_three_steps(int threads, OptimizerKind kind, bool restore_between) {
  Threads t(threads, Arithmetic::fast);
  const Mixed mixed;
  OptimizerRecipe recipe;
  recipe.kind = kind;
  auto optimizer = std::make_unique<Optimizer>(t.compute, mixed.slots, kind);
  std::vector<float> p = random_floats(mixed.size, 5);
  for (std::uint64_t i = 0; i < 3; ++i) {
    std::vector<float> g = random_floats(mixed.size, 10 + i);
    optimizer->step(recipe, 1.0, optimizer->gradient_norm(g), p, g);
    if (!restore_between) continue;
    OptimizerState state = optimizer->state();
    optimizer = std::make_unique<Optimizer>(t.compute, mixed.slots, kind);
    EXPECT_TRUE(optimizer->restore(std::move(state)));
  }
  return p;
}

TEST(Optimizer, ResultsDependNeitherOnThreadsNorOnBeingRestored) {
  for (const OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::muon}) {
    const std::vector<float> one = after_three_steps(1, kind, false);
    EXPECT_EQ(one, after_three_steps(3, kind, false));
    EXPECT_EQ(one, after_three_steps(2, kind, true));
  }
}

TEST(Optimizer, RefusesTheStateOfAnother) {
  Threads one(1);
  const Mixed mixed;
  Optimizer adamw(one.compute, mixed.slots, OptimizerKind::adamw), muon(one.compute, mixed.slots, OptimizerKind::muon);
  EXPECT_FALSE(muon.restore(adamw.state()));
  OptimizerState cut = adamw.state();
  cut.first.pop_back();
  EXPECT_FALSE(adamw.restore(cut));
}

}  // namespace
}  // namespace hadal
