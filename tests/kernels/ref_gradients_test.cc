// The backward pass of every reference operation against numeric gradients in
// double. Each bound is shown to catch a mistake that is easy to make there.
#include "kernels/numbers.h"
#include "kernels/ref/attention.h"
#include "kernels/ref/cross_entropy.h"
#include "kernels/ref/embedding.h"
#include "kernels/ref/grouped_matmul.h"
#include "kernels/ref/matmul.h"
#include "kernels/ref/moe_combine.h"
#include "kernels/ref/rms_norm.h"
#include "kernels/ref/rope.h"
#include "kernels/ref/swiglu.h"

namespace hadal::testing {
namespace {

using Values = std::vector<double>;

// Measured over all tests of this file: at most 1.2e-12; the mildest planted mistake, 7e-2.
constexpr double kBound = 1e-10, kMistake = 1e-2;

TEST(RefMatmul, GradientsAreThoseOfTheProduct) {
  const ref::MatmulShape s{.M = 3, .N = 4, .K = 5};
  Values x = random_values(15, 1), w = random_values(20, 2);
  const Values dy = random_values(12, 3);
  const auto forward = [&] {
    Values y(12);
    ref::matmul(s, x.data(), w.data(), y.data());
    return y;
  };
  Values d_x(15, 0), d_w(20, 0);
  ref::matmul_backward(s, x.data(), w.data(), dy.data(), d_x.data(), d_w.data());
  EXPECT_LT(difference(d_x, numeric_gradient(x, dy, forward)), kBound);
  EXPECT_LT(difference(d_w, numeric_gradient(w, dy, forward)), kBound);
  Values wrong(15, 0);  // W read the other way round
  ref::matmul<double>({.M = 3, .N = 5, .K = 4}, dy.data(), w.data(), wrong.data());
  EXPECT_GT(difference(wrong, numeric_gradient(x, dy, forward)), kMistake);
}

TEST(RefMatmul, GradientsAreAddedToWhatIsThere) {
  const ref::MatmulShape s{.M = 2, .N = 3, .K = 2};
  const Values x = random_values(4, 1), w = random_values(6, 2), dy = random_values(6, 3);
  Values once(6, 0), again(6, 10);
  ref::matmul_backward<double>(s, x.data(), w.data(), dy.data(), nullptr, once.data());
  ref::matmul_backward<double>(s, x.data(), w.data(), dy.data(), nullptr, again.data());
  for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(again[i], 10 + once[i], 1e-13);
}

// Four tokens at two of five experts each; expert 3 has none.
const std::vector<std::int32_t> kChosen = {0, 2, 2, 1, 4, 2, 1, 0};

TEST(RefGroupedMatmul, ListsHoldEachChoiceOnceAndKeepTheOrderOfTokens) {
  const ref::TokenLists lists = ref::token_lists(5, 4, 2, kChosen.data());
  EXPECT_EQ(lists.first_slot_E, (std::vector<std::int32_t>{0, 2, 4, 7, 7, 8}));
  EXPECT_EQ(lists.token_S, (std::vector<std::int32_t>{0, 3, 1, 3, 0, 1, 2, 2}));
  EXPECT_EQ(lists.slot_TK, (std::vector<std::int32_t>{0, 4, 5, 2, 7, 6, 3, 1}));
}

TEST(RefGroupedMatmul, GradientsCollectOverATokensExpertsAndAnExpertsTokens) {
  const ref::GroupedShape s{.E = 5, .N = 3, .K = 4};
  const ref::TokenLists lists = ref::token_lists(5, 4, 2, kChosen.data());
  Values x = random_values(16, 1), w = random_values(60, 2);
  const Values dy = random_values(24, 3);
  const auto forward = [&] {
    Values y(24);
    ref::grouped_matmul(s, lists, x.data(), w.data(), y.data());
    return y;
  };
  Values d_x(16, 0), d_w(60, 0);
  ref::grouped_matmul_backward(s, lists, x.data(), w.data(), dy.data(), d_x.data(), d_w.data());
  EXPECT_LT(difference(d_x, numeric_gradient(x, dy, forward)), kBound);
  EXPECT_LT(difference(d_w, numeric_gradient(w, dy, forward)), kBound);
  for (std::size_t i = 36; i < 48; ++i) EXPECT_EQ(d_w[i], 0) << "of an expert that no token chose";
  Values wrong(16, 0);  // a token's second expert overwrites its first
  for (std::ptrdiff_t e = 0; e < s.E; ++e)
    for (std::ptrdiff_t slot = lists.first_slot_E[e]; slot < lists.first_slot_E[e + 1]; ++slot) {
      double* to = wrong.data() + lists.token_S[slot] * s.K;
      std::fill(to, to + s.K, 0.0);
      ref::matmul_backward<double>({1, s.N, s.K}, nullptr, w.data() + e * s.N * s.K, dy.data() + slot * s.N, to,
                                   nullptr);
    }
  EXPECT_GT(difference(wrong, numeric_gradient(x, dy, forward)), kMistake);
}

TEST(RefMoeCombine, GradientsReachOutputsAndWeights) {
  const ref::CombineShape s{.T = 4, .K = 2, .D = 3};
  const ref::TokenLists lists = ref::token_lists(5, 4, 2, kChosen.data());
  Values weights = random_values(8, 1), y = random_values(24, 2);
  const Values d_out = random_values(12, 3);
  const auto forward = [&] {
    Values out(12);
    ref::moe_combine(s, lists.slot_TK.data(), weights.data(), y.data(), out.data());
    return out;
  };
  Values d_weights(8, 0), d_y(24, 0);
  ref::moe_combine_backward(s, lists.slot_TK.data(), weights.data(), y.data(), d_out.data(), d_weights.data(),
                            d_y.data());
  EXPECT_LT(difference(d_weights, numeric_gradient(weights, d_out, forward)), kBound);
  EXPECT_LT(difference(d_y, numeric_gradient(y, d_out, forward)), kBound);
  Values wrong(24, 0);  // slots taken in the order of tokens
  const std::vector<std::int32_t> in_order = {0, 1, 2, 3, 4, 5, 6, 7};
  ref::moe_combine_backward<double>(s, in_order.data(), weights.data(), y.data(), d_out.data(), nullptr, wrong.data());
  EXPECT_GT(difference(wrong, numeric_gradient(y, d_out, forward)), kMistake);
}

TEST(RefRmsNorm, GradientsAreThoseOfTheNorm) {
  const ref::NormShape s{.T = 3, .D = 7};
  Values x = random_values(21, 1), w = random_values(7, 2);
  const Values dy = random_values(21, 3);
  const double eps = 0.1;  // large, so that a forgotten eps shows
  const auto forward = [&] {
    Values y(21);
    ref::rms_norm(s, x.data(), w.data(), eps, y.data());
    return y;
  };
  Values d_x(21, 0), d_w(7, 0);
  ref::rms_norm_backward(s, x.data(), w.data(), dy.data(), eps, d_x.data(), d_w.data());
  EXPECT_LT(difference(d_x, numeric_gradient(x, dy, forward)), kBound);
  EXPECT_LT(difference(d_w, numeric_gradient(w, dy, forward)), kBound);
  Values wrong(21, 0);
  ref::rms_norm_backward<double>(s, x.data(), w.data(), dy.data(), 0, wrong.data(), nullptr);
  EXPECT_GT(difference(wrong, numeric_gradient(x, dy, forward)), kMistake) << "eps forgotten";
  Values no_pull(21);  // the norm taken for a constant
  for (std::ptrdiff_t i = 0; i < 21; ++i)
    no_pull[static_cast<std::size_t>(i)] = dy[static_cast<std::size_t>(i)] * w[static_cast<std::size_t>(i % 7)] *
                                           ref::inverse_rms(s.D, x.data() + i / 7 * 7, eps);
  EXPECT_GT(difference(no_pull, numeric_gradient(x, dy, forward)), kMistake);
}

struct RopeCase {
  ref::RopeShape s{.T = 3, .H = 2, .R = 6};
  std::vector<std::int32_t> positions = {0, 5, 31};
  Values frequencies = {1, 0.1, 0.01};
  Values rotate(const Values& x) const {
    Values y(x.size());
    ref::rope(s, x.data(), positions.data(), frequencies.data(), y.data());
    return y;
  }
};

TEST(RefRope, GradientIsTheOppositeRotation) {
  const RopeCase c;
  Values x = random_values(36, 1);
  const Values dy = random_values(36, 3);
  Values d_x(36, 0);
  ref::rope_backward(c.s, dy.data(), c.positions.data(), c.frequencies.data(), d_x.data());
  const Values numeric = numeric_gradient(x, dy, [&] { return c.rotate(x); });
  EXPECT_LT(difference(d_x, numeric), kBound);
  EXPECT_GT(difference(c.rotate(dy), numeric), kMistake) << "turned forward again";
}

TEST(RefRope, ScoresDependOnTheDistanceOfPositionsOnly) {
  const RopeCase c;
  const Values q = random_values(6, 1), k = random_values(6, 2);
  const auto score = [&](std::int32_t at_q, std::int32_t at_k) {
    Values rq(6), rk(6);
    ref::rope<double>({1, 1, 6}, q.data(), &at_q, c.frequencies.data(), rq.data());
    ref::rope<double>({1, 1, 6}, k.data(), &at_k, c.frequencies.data(), rk.data());
    double sum = 0;
    for (std::size_t i = 0; i < 6; ++i) sum += rq[i] * rk[i];
    return sum;
  };
  EXPECT_NEAR(score(9, 4), score(105, 100), 1e-13);
  EXPECT_GT(std::abs(score(9, 4) - score(9, 5)), 1e-2);
}

TEST(RefRope, NeighboursMakeAPairAsInDeepSeeksWeights) {
  const std::int32_t position = 1;
  const Values x = {1, 0, 0, 0}, frequencies = {std::acos(0.0), 0.0};  // a quarter turn of the first pair
  Values y(4);
  ref::rope<double>({1, 1, 4}, x.data(), &position, frequencies.data(), y.data());
  EXPECT_NEAR(y[0], 0, 1e-15);
  EXPECT_NEAR(y[1], 1, 1e-15);  // half-split pairs would put it into y[2]
  EXPECT_EQ(y[2], 0);
}

TEST(RefSwiglu, GradientsAreThoseOfTheGate) {
  Values gate = random_values(9, 1, 2), up = random_values(9, 2);
  const Values d_out = random_values(9, 3);
  const auto forward = [&] {
    Values out(9);
    ref::swiglu(9, gate.data(), up.data(), out.data());
    return out;
  };
  Values d_gate(9, 0), d_up(9, 0);
  ref::swiglu_backward(9, gate.data(), up.data(), d_out.data(), d_gate.data(), d_up.data());
  EXPECT_LT(difference(d_gate, numeric_gradient(gate, d_out, forward)), kBound);
  EXPECT_LT(difference(d_up, numeric_gradient(up, d_out, forward)), kBound);
  Values wrong(9);  // s instead of s (1 + g (1 - s))
  for (std::size_t i = 0; i < 9; ++i) wrong[i] = d_out[i] * up[i] * ref::sigmoid(gate[i]);
  EXPECT_GT(difference(wrong, numeric_gradient(gate, d_out, forward)), kMistake);
}

TEST(RefEmbedding, ATokenThatOccursTwiceCollectsBothGradients) {
  const ref::EmbeddingShape s{.T = 4, .D = 3};
  const std::vector<std::int32_t> tokens = {2, 0, 2, 4};
  Values table = random_values(15, 1);
  const Values dy = random_values(12, 2);
  Values d_table(15, 0);
  ref::embedding_backward(s, tokens.data(), dy.data(), d_table.data());
  const Values numeric = numeric_gradient(table, dy, [&] {
    Values y(12);
    ref::embedding(s, tokens.data(), table.data(), y.data());
    return y;
  });
  EXPECT_LT(difference(d_table, numeric), kBound);
  Values wrong = d_table;  // the last one wins
  for (std::size_t d = 0; d < 3; ++d) wrong[2 * 3 + d] = dy[2 * 3 + d];
  EXPECT_GT(difference(wrong, numeric), kMistake);
}

TEST(RefCrossEntropy, GradientIsThatOfTheMeanOverCountedTargets) {
  const ref::LossShape s{.T = 4, .V = 6};
  const std::vector<std::int32_t> targets = {3, -1, 0, 5};
  Values logits = random_values(24, 1, 2), d_logits(24, 0);
  ref::cross_entropy_backward(s, logits.data(), targets.data(), d_logits.data());
  const Values numeric =
      numeric_gradient(logits, {1}, [&] { return Values{ref::cross_entropy(s, logits.data(), targets.data())}; });
  EXPECT_LT(difference(d_logits, numeric), kBound);
  for (std::size_t v = 6; v < 12; ++v) EXPECT_EQ(d_logits[v], 0) << "of a target that does not count";
  Values wrong = d_logits;  // the mean over all four
  for (double& d : wrong) d *= 0.75;
  EXPECT_GT(difference(wrong, numeric), kMistake);
}

TEST(RefCrossEntropy, OfEqualLogitsIsTheLogOfTheVocabulary) {
  const Values logits(10, 300.0);  // exp(300) squared would overflow a double's neighbourhood in a naive sum of floats
  const std::vector<std::int32_t> targets = {7};
  EXPECT_NEAR(ref::cross_entropy<double>({1, 10}, logits.data(), targets.data()), std::log(10.0), 1e-12);
  const std::vector<float> large(10, 300.0f);
  EXPECT_NEAR(ref::cross_entropy<float>({1, 10}, large.data(), targets.data()), std::log(10.0), 1e-4);
  const std::vector<std::int32_t> none = {-1};
  EXPECT_EQ(ref::cross_entropy<double>({1, 10}, logits.data(), none.data()), 0);
}

TEST(RefAttention, GradientsReachQueriesKeysAndValues) {
  const ref::AttentionShape s{.T = 3, .S = 5, .H = 2, .G = 4, .V = 3};
  Values q = random_values(24, 1), k = random_values(40, 2), v = random_values(30, 3);
  const Values d_out = random_values(18, 4);
  const double scale = 0.6;
  const auto forward = [&] {
    Values out(18);
    ref::attention(s, scale, q.data(), k.data(), v.data(), out.data());
    return out;
  };
  Values d_q(24, 0), d_k(40, 0), d_v(30, 0);
  ref::attention_backward(s, scale, q.data(), k.data(), v.data(), d_out.data(), d_q.data(), d_k.data(), d_v.data());
  const Values numeric_q = numeric_gradient(q, d_out, forward);
  EXPECT_LT(difference(d_q, numeric_q), kBound);
  EXPECT_LT(difference(d_k, numeric_gradient(k, d_out, forward)), kBound);
  EXPECT_LT(difference(d_v, numeric_gradient(v, d_out, forward)), kBound);
  Values wrong = d_q;  // the scale forgotten on the way back
  for (double& d : wrong) d /= scale;
  EXPECT_GT(difference(wrong, numeric_q), kMistake);
}

TEST(RefAttention, AQueryDoesNotSeeWhatComesAfterIt) {
  const ref::AttentionShape s{.T = 2, .S = 4, .H = 1, .G = 3, .V = 2};
  const Values q = random_values(6, 1);
  Values k = random_values(12, 2), v = random_values(8, 3), before(4), after(4);
  ref::attention(s, 1.0, q.data(), k.data(), v.data(), before.data());
  k[9] += 5;
  v[6] += 5;  // the last position
  ref::attention(s, 1.0, q.data(), k.data(), v.data(), after.data());
  EXPECT_EQ(before[0], after[0]);
  EXPECT_EQ(before[1], after[1]);
  EXPECT_NE(before[2], after[2]);
}

}  // namespace
}  // namespace hadal::testing
