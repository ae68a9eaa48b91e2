// AdamW and Muon against their formulas, written here once more in double and in the plainest way.
#include "trainer/optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
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
  newton_schulz.orthogonalise(x, kRows, kCols, 1);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], want[i], 1e-5) << i;
}

TEST(Muon, FiveIterationsBringSingularValuesNearOne) {
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Threads two(2, arithmetic);
    NewtonSchulz newton_schulz(two.compute);
    constexpr int kRows = 32, kCols = 64, kCount = 3;
    std::vector<float> x = random_floats(kCount * kRows * kCols, 7, 0.01);
    for (int m = 0; m < kCount; ++m) {
      newton_schulz.orthogonalise(std::span(x).subspan(static_cast<std::size_t>(m * kRows * kCols), kRows * kCols),
                                  kRows, kCols, 5);
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
  newton_schulz.orthogonalise(x, 4, 8, 5);
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

// What Muon does to a matrix [rows, cols], in double and with one possible mistake.
struct MuonReference {
  enum class Mistake { none, plain_momentum, no_momentum, shorter_side, no_decay, no_clip };
  int rows, cols;
  Mistake mistake = Mistake::none;
  std::vector<double> weights, momentum = {};  // [rows, cols]

  // rows <= cols
  std::vector<double> orthogonalised(std::vector<double> x) const {
    double norm = 0;
    for (const double v : x) norm += v * v;
    for (double& v : x) v /= std::sqrt(norm);
    const auto product = [](const std::vector<double>& a, const std::vector<double>& b, int n, int m, int k) {
      std::vector<double> out(static_cast<std::size_t>(n * m));  // [n, k] times [k, m]
      for (int i = 0; i < n; ++i)
        for (int j = 0; j < m; ++j)
          for (int l = 0; l < k; ++l)
            out[static_cast<std::size_t>(i * m + j)] +=
                a[static_cast<std::size_t>(i * k + l)] * b[static_cast<std::size_t>(l * m + j)];
      return out;
    };
    for (int iteration = 0; iteration < 5; ++iteration) {
      std::vector<double> transposed(x.size());
      for (int i = 0; i < rows; ++i)
        for (int j = 0; j < cols; ++j)
          transposed[static_cast<std::size_t>(j * rows + i)] = x[static_cast<std::size_t>(i * cols + j)];
      const std::vector<double> a = product(x, transposed, rows, rows, cols);
      const std::vector<double> ax = product(a, x, rows, cols, rows), aax = product(a, ax, rows, cols, rows);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = 3.4445 * x[i] - 4.7750 * ax[i] + 2.0315 * aax[i];
    }
    return x;
  }

  void step(const OptimizerRecipe& recipe, double norm, std::span<const float> gradients) {
    const double clip = mistake == Mistake::no_clip ? 1 : std::min(1.0, recipe.clip_norm / norm);
    const double mu = recipe.momentum;
    momentum.resize(gradients.size());
    std::vector<double> update(gradients.size());
    for (std::size_t i = 0; i < update.size(); ++i) {
      const double g = clip * gradients[i];
      momentum[i] = mu * momentum[i] + g;
      update[i] = mistake == Mistake::no_momentum      ? g
                  : mistake == Mistake::plain_momentum ? momentum[i]
                                                       : g + mu * momentum[i];
    }
    update = orthogonalised(std::move(update));
    const int side = mistake == Mistake::shorter_side ? std::min(rows, cols) : std::max(rows, cols);
    const double decay = mistake == Mistake::no_decay ? 0 : recipe.weight_decay;
    for (std::size_t i = 0; i < update.size(); ++i)
      weights[i] -= recipe.learning_rate * (decay * weights[i] + 0.2 * std::sqrt(side) * update[i]);
  }
};

// The root mean square of what two steps of ours are off, relative to that of what they move.
double muon_difference(MuonReference::Mistake mistake) {
  Threads one(1);
  constexpr int kRows = 4, kCols = 64;
  OptimizerRecipe recipe;
  recipe.kind = OptimizerKind::muon;
  recipe.learning_rate = 0.1;
  const std::vector<float> before = random_floats(kRows * kCols, 21);
  MuonReference want{kRows, kCols, mistake, {before.begin(), before.end()}};
  const std::vector<ParameterSlot> slots{slot("w", TensorRole::o_proj, {kRows, kCols}, 0)};
  Optimizer optimizer(one.compute, slots, OptimizerKind::muon);
  std::vector<float> weights = before;
  for (std::uint64_t i = 0; i < 2; ++i) {
    std::vector<float> g = random_floats(kRows * kCols, 22 + i, i == 0 ? 1 : 3);  // clipped by 16 and by 48
    const double norm = optimizer.gradient_norm(g);
    want.step(recipe, norm, g);
    optimizer.step(recipe, 1.0, norm, weights, g);
    EXPECT_EQ(g, std::vector<float>(g.size(), 0.0f));
  }
  double off = 0, moved = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    off += std::pow(weights[i] - want.weights[i], 2);
    moved += std::pow(weights[i] - before[i], 2);
  }
  return std::sqrt(off / moved);
}

TEST(Muon, TwoStepsByTheFormula) {
  using Mistake = MuonReference::Mistake;
  // Measured: 1.5e-6, f32 rounding in ten iterations (in exact arithmetic every Isa rounds alike); the mildest mistake,
  // 0.14.
  constexpr double kBound = 1e-5;
  EXPECT_LT(muon_difference(Mistake::none), kBound);
  for (const Mistake mistake :
       {Mistake::plain_momentum, Mistake::no_momentum, Mistake::shorter_side, Mistake::no_decay, Mistake::no_clip})
    EXPECT_GT(muon_difference(mistake), 1e4 * kBound) << static_cast<int>(mistake);
}

// A head, a hidden matrix and a norm, one after another: AdamW's rate under Muon is its own.
TEST(Muon, LeavesToAdamWItsOwnLearningRate) {
  Threads one(1);
  constexpr std::size_t kHead = 6, kMatrix = 8, kNorm = 3;
  const std::vector<ParameterSlot> slots{slot("head", TensorRole::lm_head, {2, 3}, 0),
                                         slot("w", TensorRole::o_proj, {2, 4}, kHead),
                                         slot("norm", TensorRole::final_norm, {3}, kHead + kMatrix)};
  const auto after_two_steps = [&](const OptimizerRecipe& recipe, double factor = 1) {
    Optimizer optimizer(one.compute, slots, recipe.kind);
    std::vector<float> p = random_floats(kHead + kMatrix + kNorm, 31);
    for (std::uint64_t i = 0; i < 2; ++i) {
      std::vector<float> g = random_floats(p.size(), 32 + i);
      optimizer.step(recipe, factor, optimizer.gradient_norm(g), p, g);
    }
    return p;
  };
  const auto is_adamws = [](std::size_t i) { return i < kHead || i >= kHead + kMatrix; };
  OptimizerRecipe mixed;
  mixed.kind = OptimizerKind::muon;
  mixed.learning_rate = 0.1;
  OptimizerRecipe adamw;
  adamw.adamw_learning_rate = 0.5;  // counts under Muon only
  for (const double rate : {0.0, 0.02}) {
    mixed.adamw_learning_rate = rate;
    adamw.learning_rate = rate == 0 ? mixed.learning_rate : rate;
    const std::vector<float> ours = after_two_steps(mixed), alone = after_two_steps(adamw);
    for (std::size_t i = 0; i < ours.size(); ++i) {
      if (is_adamws(i))
        EXPECT_EQ(ours[i], alone[i]) << i;
      else
        EXPECT_NE(ours[i], alone[i]) << i;
    }
    // The schedule's factor is on both.
    const std::vector<float> halved = after_two_steps(mixed, 0.5);
    OptimizerRecipe half = mixed;
    half.learning_rate /= 2;
    half.adamw_learning_rate /= 2;
    EXPECT_EQ(halved, after_two_steps(half));
  }
  mixed.adamw_learning_rate = 0.02;
  const std::vector<float> slow = after_two_steps(mixed);
  mixed.adamw_learning_rate = 0.2;
  const std::vector<float> fast = after_two_steps(mixed);
  for (std::size_t i = 0; i < fast.size(); ++i) EXPECT_EQ(slow[i] == fast[i], !is_adamws(i)) << i;
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
