// The router against the reference, on every instruction set: whom a token takes
// in V2's and V3's way, ties, weights, replay, and the way back. The cases worked
// by hand are in ref_router_test.cc.
#include "kernels/router.h"

#include <algorithm>

#include "kernels/isas.h"
#include "kernels/numbers.h"
#include "kernels/ref/router.h"

namespace hadal::testing {
namespace {

using Score = RouterRule::Score;
using GroupScore = RouterRule::GroupScore;

struct Named {
  const char* name;
  RouterRule rule;
  bool biased;
};
const Named kRules[] = {
    {"v2_lite", {64, 6, 1, 1, Score::softmax, GroupScore::none, false, 1.0f}, false},
    {"v2", {160, 6, 8, 3, Score::softmax, GroupScore::best, false, 16.0f}, false},
    {"v3", {256, 8, 8, 4, Score::sigmoid, GroupScore::two_best, true, 2.5f}, true},
    {"moonlight", {64, 6, 1, 1, Score::sigmoid, GroupScore::two_best, true, 2.446f}, true},
    {"built_in", {32, 4, 1, 1, Score::sigmoid, GroupScore::two_best, true, 1.0f}, true},
    {"softmax_normalised", {20, 3, 4, 2, Score::softmax, GroupScore::best, true, 1.0f}, false},
    {"all_of_the_kept", {12, 6, 4, 2, Score::sigmoid, GroupScore::two_best, true, 2.5f}, true},
    {"groups_of_one", {5, 2, 5, 3, Score::sigmoid, GroupScore::two_best, false, 1.0f}, true},
};

ref::RouterConfig config_of(const RouterRule& rule) {
  ref::RouterConfig c{
      .n_routed_experts = rule.experts,
      .num_experts_per_tok = rule.chosen,
      .n_group = rule.groups,
      .topk_group = rule.kept_groups,
      .scoring_func = rule.score == Score::softmax ? ref::ScoringFunc::softmax : ref::ScoringFunc::sigmoid,
      .topk_method = ref::TopkMethod::greedy,
      .norm_topk_prob = rule.normalise,
      .routed_scaling_factor = static_cast<double>(rule.scale)};
  if (rule.group_score == GroupScore::best) c.topk_method = ref::TopkMethod::group_limited_greedy;
  if (rule.group_score == GroupScore::two_best) c.topk_method = ref::TopkMethod::noaux_tc;
  return c;
}

struct Routed {
  std::vector<float> scores_E, weights_K;
  std::vector<ExpertId> chosen_K;

  std::vector<std::int32_t> indices() const {
    std::vector<std::int32_t> all;
    for (const ExpertId e : chosen_K) all.push_back(index(e));
    return all;
  }
};

Routed routed(const KernelTable& kernels, const RouterRule& rule, const std::vector<float>& logits,
              const std::vector<float>& bias = {}) {
  const auto K = static_cast<std::size_t>(rule.chosen);
  Routed r{logits, std::vector<float>(K), std::vector<ExpertId>(K)};
  route(kernels, rule, r.scores_E.data(), bias.empty() ? nullptr : bias.data(), r.chosen_K.data(), r.weights_K.data());
  return r;
}

std::vector<float> bias_of(const Named& named, std::uint64_t seed) {
  return named.biased ? random_values<float>(named.rule.experts, seed + 1000, 0.2) : std::vector<float>();
}

class Router : public ::testing::TestWithParam<Isa> {
 protected:
  const KernelTable& kernels() const { return *kernels_for(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(EveryIsa, Router, ::testing::ValuesIn(runnable_isas()), isa_of_test);

constexpr std::uint64_t kTokens = 40;

// Measured: scores and weights at most 1.5e-7 from double.
constexpr double kBound = 1e-6;

TEST_P(Router, ScoresChoiceAndWeightsEqualTheReference) {
  for (const Named& named : kRules)
    for (std::uint64_t seed = 0; seed < kTokens; ++seed) {
      const auto logits = random_values<float>(named.rule.experts, seed, 2), bias = bias_of(named, seed);
      const Routed r = routed(kernels(), named.rule, logits, bias);
      const ref::RouterConfig c = config_of(named.rule);
      std::vector<double> scores(logits.size());
      ref::router_scores<double>(c, converted<double>(logits).data(), scores.data());
      EXPECT_LT(difference(r.scores_E, scores), kBound) << named.name;
      // From the very same scores, so that a near tie does not fall the other way in double.
      const auto chosen = ref::router_choice<float>(c, r.scores_E.data(), bias.empty() ? nullptr : bias.data());
      EXPECT_EQ(r.indices(), chosen) << named.name << ", token " << seed;
      std::vector<double> weights(chosen.size());
      ref::router_weights<double>(c, scores.data(), chosen.data(), weights.data());
      EXPECT_LT(difference(r.weights_K, weights), kBound) << named.name;
    }
}

// The tokens above tell the ways of choosing apart.
TEST(RouterCases, TellEveryWayOfChoosingApart) {
  const KernelTable& kernels = *kernels_for(best_isa());
  const auto changed = [&](const Named& named, auto&& alter) {
    int tokens = 0;
    for (std::uint64_t seed = 0; seed < kTokens; ++seed) {
      const auto logits = random_values<float>(named.rule.experts, seed, 2);
      RouterRule rule = named.rule;
      std::vector<float> bias = bias_of(named, seed);
      const Routed right = routed(kernels, rule, logits, bias);
      alter(rule, bias);
      tokens += routed(kernels, rule, logits, bias).indices() != right.indices() ? 1 : 0;
    }
    return tokens;
  };
  EXPECT_GT(changed(kRules[1], [](RouterRule& rule, auto&) { rule.group_score = GroupScore::none; }), 10);
  EXPECT_GT(changed(kRules[2], [](RouterRule& rule, auto&) { rule.group_score = GroupScore::none; }), 10);
  EXPECT_GT(changed(kRules[2], [](RouterRule& rule, auto&) { rule.group_score = GroupScore::best; }), 5);
  EXPECT_GT(changed(kRules[3], [](RouterRule&, std::vector<float>& bias) { bias.clear(); }), 10);
}

TEST_P(Router, BitsAreTheSameOnEveryIsa) {
  for (const Named& named : kRules)
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const auto logits = random_values<float>(named.rule.experts, seed, 2), bias = bias_of(named, seed);
      const Routed here = routed(kernels(), named.rule, logits, bias),
                   portable = routed(*kernels_for(Isa::portable), named.rule, logits, bias);
      EXPECT_TRUE(same_bits(here.scores_E, portable.scores_E)) << named.name;
      EXPECT_TRUE(same_bits(here.weights_K, portable.weights_K)) << named.name;
      EXPECT_EQ(here.chosen_K, portable.chosen_K) << named.name;
    }
}

TEST_P(Router, TiesGoToTheLowestIndexAmongExpertsAndGroups) {
  for (const Named& named : kRules) {
    const auto E = static_cast<std::size_t>(named.rule.experts);
    const Routed equal = routed(kernels(), named.rule, std::vector<float>(E, 0.5f));
    for (std::size_t k = 0; k < equal.chosen_K.size(); ++k)
      EXPECT_EQ(index(equal.chosen_K[k]), static_cast<int>(k)) << named.name;
    for (std::uint64_t seed = 0; seed < kTokens; ++seed) {  // three values only: ties everywhere
      std::vector<float> logits = random_values<float>(named.rule.experts, seed);
      for (float& l : logits) l = std::round(std::clamp(l, -1.0f, 1.0f));
      const Routed r = routed(kernels(), named.rule, logits);
      EXPECT_EQ(r.indices(), ref::router_choice<float>(config_of(named.rule), r.scores_E.data(), nullptr))
          << named.name << ", token " << seed;
    }
  }
}

TEST_P(Router, BiasSteersTheChoiceAndNeverAWeight) {
  const RouterRule rule = kRules[4].rule;
  const auto logits = random_values<float>(rule.experts, 3);
  std::vector<float> bias(logits.size(), 0.0f);
  const std::size_t lifted = static_cast<std::size_t>(std::min_element(logits.begin(), logits.end()) - logits.begin());
  bias[lifted] = 5;
  const Routed r = routed(kernels(), rule, logits, bias);
  EXPECT_EQ(index(r.chosen_K[0]), static_cast<int>(lifted)) << "the worst by score is first by biased score";
  float sum = 0;
  for (const std::int32_t e : r.indices()) sum += r.scores_E[static_cast<std::size_t>(e)];
  EXPECT_NEAR(r.weights_K[0], r.scores_E[lifted] / sum, 1e-7f);
  EXPECT_LT(r.weights_K[0], r.weights_K[1]);
}

TEST_P(Router, ReplayOfAChoiceGivesTheSameWeights) {  // GRPO replays what the engine chose
  for (const Named& named : kRules) {
    const Routed r = routed(kernels(), named.rule, random_values<float>(named.rule.experts, 4), bias_of(named, 4));
    std::vector<float> again(r.weights_K.size());
    route_weights(named.rule, r.scores_E.data(), r.chosen_K.data(), again.data());
    EXPECT_TRUE(same_bits(again, r.weights_K)) << named.name;
  }
}

// A poisoned row must not index outside: the choice is always K different experts. What it is worth is not promised.
TEST_P(Router, AnyLogitsGiveDifferentExpertsThatExist) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  for (const Named& named : kRules)
    for (const float poison : {kNan, kInfinity, -kInfinity, 3e38f, -3e38f})
      for (const std::size_t every : {1u, 3u}) {
        std::vector<float> logits = random_values<float>(named.rule.experts, 5);
        for (std::size_t e = 0; e < logits.size(); e += every) logits[e] = poison;
        for (const std::vector<float>& bias : {std::vector<float>(), std::vector<float>(logits.size(), poison)}) {
          std::vector<std::int32_t> chosen = routed(kernels(), named.rule, logits, bias).indices();
          std::sort(chosen.begin(), chosen.end());
          EXPECT_EQ(std::adjacent_find(chosen.begin(), chosen.end()), chosen.end()) << named.name << ", " << poison;
          EXPECT_GE(chosen.front(), 0);
          EXPECT_LT(chosen.back(), named.rule.experts);
        }
      }
}

TEST_P(Router, NormalisedWeightsStayFiniteWhereAllScoresVanish) {
  const Routed r = routed(kernels(), kRules[2].rule, std::vector<float>(256, -500.0f));
  for (const float w : r.weights_K) EXPECT_TRUE(std::isfinite(w) && w >= 0) << w;
}

// Measured: at most 4.5e-8; the mildest mistake below, 8.6e-3.
TEST(RouterBackward, EqualsTheReferenceAndIsAdded) {
  const KernelTable& kernels = *kernels_for(best_isa());
  for (const Named& named : kRules)
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const RouterRule& rule = named.rule;
      const Routed r = routed(kernels, rule, random_values<float>(rule.experts, seed), bias_of(named, seed));
      const auto d_weights = random_values<float>(rule.chosen, seed + 50),
                 there = random_values<float>(rule.experts, 9);
      std::vector<float> d_logits = there;
      route_backward(rule, r.scores_E.data(), r.chosen_K.data(), d_weights.data(), d_logits.data());

      const auto reference = [&](const ref::RouterConfig& c) {
        const std::vector<double> scores = converted<double>(r.scores_E);
        std::vector<double> d_scores(scores.size(), 0), right = converted<double>(there);
        ref::router_weights_backward<double>(c, scores.data(), r.indices().data(), converted<double>(d_weights).data(),
                                             d_scores.data());
        ref::router_scores_backward<double>(c, scores.data(), d_scores.data(), right.data());
        return right;
      };
      ref::RouterConfig c = config_of(rule);
      EXPECT_LT(difference(d_logits, reference(c)), kBound) << named.name;
      c.norm_topk_prob = !c.norm_topk_prob;
      EXPECT_GT(difference(d_logits, reference(c)), 1000 * kBound) << named.name << ": norm forgotten";
    }
}

TEST(RouterBackward, OfScoresIsTheJacobianOfSoftmaxAndSigmoid) {  // the balance loss comes in here
  for (const Named& named : {kRules[0], kRules[4]}) {
    const Routed r = routed(*kernels_for(best_isa()), named.rule, random_values<float>(named.rule.experts, 6));
    const auto d_scores = random_values<float>(named.rule.experts, 7);
    std::vector<float> d_logits(d_scores.size(), 0.0f);
    scores_backward(named.rule, r.scores_E.data(), d_scores.data(), d_logits.data());
    std::vector<double> right(d_scores.size(), 0);
    ref::router_scores_backward<double>(config_of(named.rule), converted<double>(r.scores_E).data(),
                                        converted<double>(d_scores).data(), right.data());
    EXPECT_LT(difference(d_logits, right), kBound) << named.name;
  }
}

}  // namespace
}  // namespace hadal::testing
