// The reference router against cases worked by hand and numeric gradients; the
// balance loss against its definition at both ends.
#include "kernels/numbers.h"
#include "kernels/ref/balance_loss.h"
#include "kernels/ref/router.h"

namespace hadal::testing {
namespace {

using Values = std::vector<double>;
using Choice = std::vector<std::int32_t>;
using ref::RouterConfig;
using ref::ScoringFunc;
using ref::TopkMethod;

constexpr RouterConfig kV2Lite{.n_routed_experts = 6,
                               .num_experts_per_tok = 2,
                               .scoring_func = ScoringFunc::softmax,
                               .topk_method = TopkMethod::greedy,
                               .norm_topk_prob = false,
                               .routed_scaling_factor = 1.0};
constexpr RouterConfig kV2{.n_routed_experts = 6,
                           .num_experts_per_tok = 2,
                           .n_group = 3,
                           .topk_group = 2,
                           .scoring_func = ScoringFunc::softmax,
                           .topk_method = TopkMethod::group_limited_greedy,
                           .norm_topk_prob = false,
                           .routed_scaling_factor = 16.0};
constexpr RouterConfig kV3{.n_routed_experts = 6,
                           .num_experts_per_tok = 2,
                           .n_group = 2,
                           .topk_group = 1,
                           .scoring_func = ScoringFunc::sigmoid,
                           .topk_method = TopkMethod::noaux_tc,
                           .norm_topk_prob = true,
                           .routed_scaling_factor = 2.5};

Choice choose(const RouterConfig& c, const Values& scores, const Values& bias = {}) {
  return ref::router_choice(c, scores.data(), bias.empty() ? nullptr : bias.data());
}
Values weights_of(const RouterConfig& c, const Values& scores, const Choice& chosen) {
  Values weights(chosen.size());
  ref::router_weights(c, scores.data(), chosen.data(), weights.data());
  return weights;
}

TEST(RefRouter, GreedyTakesTheLargestAndKeepsTheirProbabilities) {
  const Values scores = {0.1, 0.3, 0.05, 0.25, 0.2, 0.1};
  EXPECT_EQ(choose(kV2Lite, scores), (Choice{1, 3}));
  EXPECT_EQ(weights_of(kV2Lite, scores, {1, 3}), (Values{0.3, 0.25}));
}

TEST(RefRouter, TiesGoToTheLowestIndex) {
  EXPECT_EQ(choose(kV2Lite, {0.2, 0.1, 0.2, 0.2, 0.2, 0.1}), (Choice{0, 2}));
  EXPECT_EQ(choose(kV2, {0.1, 0.1, 0.1, 0.1, 0.1, 0.1}), (Choice{0, 1})) << "groups as well";
  EXPECT_EQ(choose(kV3, {0.5, 0.5, 0.5, 0.5, 0.5, 0.5}), (Choice{0, 1}));
}

TEST(RefRouter, GroupLimitLeavesOutAGoodExpertOfAPoorGroup) {
  // Groups {0,1}, {2,3}, {4,5}; their best are .30, .25, .24, so the third is out, although .24 beats .01.
  const Values scores = {0.3, 0.01, 0.25, 0.01, 0.24, 0.19};
  EXPECT_EQ(choose(kV2, scores), (Choice{0, 2}));
  RouterConfig three = kV2;
  three.num_experts_per_tok = 3;
  EXPECT_EQ(choose(three, scores), (Choice{0, 2, 1})) << "experts of kept groups only";
  EXPECT_EQ(weights_of(kV2, scores, {0, 2}), (Values{0.3 * 16, 0.25 * 16}));
}

TEST(RefRouter, V3GroupsCompeteByTheirTwoBest) {
  // Groups {0,1,2} and {3,4,5}: the first has the best expert, the second the better pair.
  const Values scores = {0.9, 0.1, 0.1, 0.6, 0.5, 0.1};
  EXPECT_EQ(choose(kV3, scores), (Choice{3, 4}));
  RouterConfig by_best = kV3;
  by_best.topk_method = TopkMethod::group_limited_greedy;
  EXPECT_EQ(choose(by_best, scores), (Choice{0, 1}));
}

TEST(RefRouter, BiasChangesTheChoiceAndNotTheWeight) {
  const Values scores = {0.9, 0.1, 0.1, 0.6, 0.5, 0.1};
  const Values bias = {0, 0.6, 0, 0, 0, 0};  // lifts the first group's second expert
  EXPECT_EQ(choose(kV3, scores, bias), (Choice{0, 1}));
  const Values weights = weights_of(kV3, scores, {0, 1});
  EXPECT_NEAR(weights[0], 0.9 / (0.9 + 0.1) * 2.5, 1e-15);
  EXPECT_NEAR(weights[1], 0.1 / (0.9 + 0.1) * 2.5, 1e-15);
}

TEST(RefRouter, AKeptExpertWithNegativeScoreBeatsAMaskedOne) {  // a mask of 0 instead of minus infinity would not
  const Values scores = {0.5, 0.4, 0.3, 0.2, 0.2, 0.2}, bias = {-0.1, -1, -1, -5, -5, -5};
  EXPECT_EQ(choose(kV3, scores, bias), (Choice{0, 1}));
}

TEST(RefRouter, ScoresAreTheirFunctions) {
  const Values logits = {0, std::log(3.0), 0, 0, 0, 0};
  Values scores(6);
  ref::router_scores(kV2Lite, logits.data(), scores.data());
  EXPECT_NEAR(scores[1], 3.0 / 8.0, 1e-15);
  EXPECT_NEAR(scores[0], 1.0 / 8.0, 1e-15);
  ref::router_scores(kV3, logits.data(), scores.data());
  EXPECT_NEAR(scores[1], 0.75, 1e-15);
  EXPECT_EQ(scores[0], 0.5);
}

// Measured: at most 1.2e-11; the mildest mistake, 9e-2.
constexpr double kBound = 1e-10, kMistake = 1e-2;

Values logits_gradient(const RouterConfig& c, const Values& logits, const Choice& chosen, const Values& d_weights) {
  Values scores(6), d_scores(6, 0), d_logits(6, 0);
  ref::router_scores(c, logits.data(), scores.data());
  ref::router_weights_backward(c, scores.data(), chosen.data(), d_weights.data(), d_scores.data());
  ref::router_scores_backward(c, scores.data(), d_scores.data(), d_logits.data());
  return d_logits;
}

TEST(RefRouter, GradientOfTheWeightsReachesTheLogits) {
  for (RouterConfig c : {kV2Lite, kV2, kV3})
    for (const bool normalised : {false, true}) {
      c.norm_topk_prob = normalised;
      Values logits = random_values(6, 7), scores(6);
      ref::router_scores(c, logits.data(), scores.data());
      const Choice chosen = choose(c, scores);
      const Values d_weights = {0.7, -1.3};
      const Values numeric = numeric_gradient(logits, d_weights, [&] {
        ref::router_scores(c, logits.data(), scores.data());
        return weights_of(c, scores, chosen);  // the choice is held
      });
      EXPECT_LT(difference(logits_gradient(c, logits, chosen, d_weights), numeric), kBound);
      RouterConfig wrong = c;
      wrong.norm_topk_prob = !normalised;
      EXPECT_GT(difference(logits_gradient(wrong, logits, chosen, d_weights), numeric), kMistake);
    }
}

TEST(RefBalanceLoss, GradientReachesTheLogits) {
  const ref::BalanceShape s{.T = 5, .E = 6, .K = 2};
  for (const RouterConfig& c : {kV2Lite, kV3}) {
    Values logits = random_values(30, 8);
    const auto scores_of = [&] {
      Values scores(30);
      for (std::size_t t = 0; t < 5; ++t) ref::router_scores(c, logits.data() + 6 * t, scores.data() + 6 * t);
      return scores;
    };
    const Values numeric =
        numeric_gradient(logits, {1}, [&] { return Values{ref::balance_loss(s, 0.3, scores_of().data())}; });
    const Values scores = scores_of();
    Values d_scores(30, 0), d_logits(30, 0), wrong(30, 0), wrong_scores(30);
    ref::balance_loss_backward(s, 0.3, scores.data(), d_scores.data());
    const Values shares = ref::expert_shares(s, scores.data());
    for (std::size_t i = 0; i < 30; ++i) wrong_scores[i] = 0.3 / 5 * shares[i % 6];  // s' taken for s
    for (std::size_t t = 0; t < 5; ++t) {
      ref::router_scores_backward(c, scores.data() + 6 * t, d_scores.data() + 6 * t, d_logits.data() + 6 * t);
      ref::router_scores_backward(c, scores.data() + 6 * t, wrong_scores.data() + 6 * t, wrong.data() + 6 * t);
    }
    EXPECT_LT(difference(d_logits, numeric), kBound);
    // Softmax scores add to 1 already: there the mistake is none.
    if (c.scoring_func == ScoringFunc::sigmoid) {
      EXPECT_GT(difference(wrong, numeric), kMistake);
    }
  }
}

TEST(RefBalanceLoss, IsAlphaWhenBalancedAndGrowsWithCollapse) {
  const ref::BalanceShape s{.T = 4, .E = 4, .K = 1};
  const double a = 0.97, b = 0.01;
  const Values balanced = {a, b, b, b, b, a, b, b, b, b, a, b, b, b, b, a};
  EXPECT_NEAR(ref::balance_loss(s, 0.5, balanced.data()), 0.5, 1e-12);
  const Values collapsed = {a, b, b, b, a, b, b, b, a, b, b, b, a, b, b, b};
  EXPECT_NEAR(ref::balance_loss(s, 0.5, collapsed.data()), 0.5 * 4 * a, 1e-12);
}

}  // namespace
}  // namespace hadal::testing
