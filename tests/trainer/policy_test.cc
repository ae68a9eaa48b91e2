// The arithmetic of GRPO against cases worked by hand, and its slope against differences.
#include "trainer/reinforcement/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace hadal {
namespace {

using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::Pointwise;

TEST(GroupAdvantages, AreDeviationsFromTheMean) {
  const std::vector<double> rewards{1, 0, 0, 1, 1};  // mean 0.6, variance 0.24
  const double deviation = std::sqrt(0.24);
  const std::vector<double> expected{0.4 / deviation, -0.6 / deviation, -0.6 / deviation, 0.4 / deviation,
                                     0.4 / deviation};
  EXPECT_THAT(group_advantages(rewards, true), Pointwise(DoubleNear(1e-12), expected));
  EXPECT_THAT(group_advantages(rewards, false), Pointwise(DoubleNear(1e-12), {0.4, -0.6, -0.6, 0.4, 0.4}));
}

TEST(GroupAdvantages, OfEqualRewardsAreNothing) {
  // 0.1 three times sums to a mean that is not 0.1 in floating point: divided by that deviation it would be +-1.
  EXPECT_THAT(group_advantages(std::vector<double>{0.1, 0.1, 0.1}, true), Each(0.0));
  EXPECT_TRUE(group_advantages({}, true).empty());
}

TEST(TokenLoss, IsClippedOnlyWhereMoreWouldBePromised) {
  const PolicyRule rule{.clip_low = 0.2, .clip_high = 0.3, .kl_weight = 0};
  const auto at = [&](double ratio, double advantage) {
    return token_loss(rule, advantage, {.now = std::log(ratio) - 2, .drawn = -2, .reference = 0});
  };
  EXPECT_NEAR(at(1.5, 2).value, -1.3 * 2, 1e-12);  // a better answer, likelier already
  EXPECT_TRUE(at(1.5, 2).clipped);
  EXPECT_EQ(at(1.5, 2).slope, 0);
  EXPECT_NEAR(at(0.5, 2).value, -0.5 * 2, 1e-12);  // a better answer that became less likely is pulled back
  EXPECT_NEAR(at(0.5, 2).slope, -0.5 * 2, 1e-12);
  EXPECT_NEAR(at(0.5, -2).value, 0.8 * 2, 1e-12);  // a worse answer, less likely already
  EXPECT_TRUE(at(0.5, -2).clipped);
  EXPECT_NEAR(at(1.5, -2).slope, 1.5 * 2, 1e-12);  // a worse answer that became likelier is pushed down without limit
  EXPECT_FALSE(at(1.5, -2).clipped);
}

TEST(TokenLoss, SlopeIsTheDerivative) {
  const PolicyRule rule{.clip_low = 0.2, .clip_high = 0.2, .kl_weight = 0.7};
  constexpr double kStep = 1e-6;
  for (const double advantage : {-1.5, 0.0, 0.8})
    for (const double now : {-3.0, -1.1, -0.9, -0.2})
      for (const double reference : {-2.5, -1.0, -0.1}) {
        const auto value = [&](double x) {
          return token_loss(rule, advantage, {.now = x, .drawn = -1, .reference = reference}).value;
        };
        const double slope = token_loss(rule, advantage, {.now = now, .drawn = -1, .reference = reference}).slope;
        EXPECT_NEAR(slope, (value(now + kStep) - value(now - kStep)) / (2 * kStep), 1e-7)
            << advantage << " " << now << " " << reference;
      }
}

// Over answers drawn from pi_old the mean of rho (r - ln r - 1) is KL(pi || pi_ref); without rho it is not.
TEST(TokenLoss, KlIsUnbiasedOffPolicy) {
  const double now[3] = {0.5, 0.3, 0.2}, drawn[3] = {0.2, 0.3, 0.5}, reference[3] = {0.25, 0.25, 0.5};
  const PolicyRule rule{.kl_weight = 1};
  double estimate = 0, biased = 0, divergence = 0;
  for (int i = 0; i < 3; ++i) {
    const TokenProbabilities p{std::log(now[i]), std::log(drawn[i]), std::log(reference[i])};
    estimate += drawn[i] * token_loss(rule, 0, p).kl;
    biased += drawn[i] * (reference[i] / now[i] - std::log(reference[i] / now[i]) - 1);
    divergence += now[i] * std::log(now[i] / reference[i]);
  }
  EXPECT_NEAR(estimate, divergence, 1e-12);
  EXPECT_GT(std::abs(biased - divergence), 0.01);
}

TEST(OffPolicy, LeavesOutWorseAnswersThatBecameUnlikely) {
  const PolicyRule rule{.off_policy_limit = 0.5};
  const std::vector<float> drawn{-1, -1};
  EXPECT_TRUE(off_policy(rule, -1, std::vector<double>{-2, -1.5}, drawn));     // 0.75 a token
  EXPECT_FALSE(off_policy(rule, -1, std::vector<double>{-1.5, -1.4}, drawn));  // 0.45
  EXPECT_FALSE(off_policy(rule, +1, std::vector<double>{-2, -1.5}, drawn));
  EXPECT_FALSE(off_policy(PolicyRule{}, -1, std::vector<double>{-9, -9}, drawn));
}

}  // namespace
}  // namespace hadal
