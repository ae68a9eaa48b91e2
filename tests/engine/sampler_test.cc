// The sampler draws what its parameters say, and the same each time.
#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/rng.h"

namespace hadal {
namespace {

const KernelTable& kernels() {
  return *kernels_for(best_isa());
}

std::map<int, double> frequencies(std::span<const float> logits, SamplingParams params, int draws = 20000) {
  Sampler sampler(kernels(), static_cast<int>(logits.size()));
  std::map<int, double> shares;
  for (int i = 0; i < draws; ++i)
    shares[index(*sampler.sample(logits, params, static_cast<std::uint64_t>(i)))] += 1.0 / draws;
  return shares;
}

const std::vector<float> kLogits{1.0f, 3.0f, 2.0f, -1.0f, 0.5f};

TEST(Sampler, GreedyTakesTheGreatestAndTheLowerIdOfEqualOnes) {
  Sampler sampler(kernels(), 4);
  EXPECT_EQ(index(*sampler.sample(std::vector<float>{1, 5, 5, 2}, {}, 0)), 1);
  EXPECT_EQ(index(*greedy_token(std::vector<float>{-1, -1, -1, -1})), 0);
}

TEST(Sampler, DrawsByTheSoftmaxOfLogitsOverTemperature) {
  for (const double temperature : {0.5, 1.0, 2.0}) {
    const auto shares = frequencies(kLogits, {.temperature = temperature, .seed = 3});
    double total = 0;
    for (const float x : kLogits) total += std::exp(x / temperature);
    // Standard deviation of a share is at most 0.0036; the other temperatures are off by 0.08 and more.
    for (std::size_t i = 0; i < kLogits.size(); ++i) {
      const auto it = shares.find(static_cast<int>(i));
      EXPECT_NEAR(it == shares.end() ? 0 : it->second, std::exp(kLogits[i] / temperature) / total, 0.015)
          << temperature;
    }
  }
}

TEST(Sampler, TopKKeepsTheKLikeliestAndTheLowerIdOfEqualOnes) {
  const auto shares = frequencies(std::vector<float>{2, 1, 1, 3, 1}, {.temperature = 1, .top_k = 3});
  EXPECT_EQ(shares.size(), 3u);
  EXPECT_TRUE(shares.contains(0) && shares.contains(1) && shares.contains(3));
}

TEST(Sampler, TopPKeepsTheFewestThatHoldTheShare) {
  const std::vector<float> logits{std::log(0.5f), std::log(0.1f), std::log(0.3f), std::log(0.1f)};
  EXPECT_EQ(frequencies(logits, {.temperature = 1, .top_p = 0.45}).size(), 1u);
  const auto two = frequencies(logits, {.temperature = 1, .top_p = 0.7});
  EXPECT_EQ(two.size(), 2u);
  EXPECT_NEAR(two.at(0), 0.5 / 0.8, 0.015);
  EXPECT_EQ(frequencies(logits, {.temperature = 1, .top_p = 0.85}).size(), 3u);
  EXPECT_EQ(frequencies(logits, {.temperature = 1, .top_p = 0}).size(), 1u);  // at least one
}

TEST(Sampler, MinPIsRelativeToTheLikeliest) {
  const std::vector<float> logits{std::log(0.6f), std::log(0.25f), std::log(0.15f)};
  EXPECT_EQ(frequencies(logits, {.temperature = 1, .min_p = 0.3}).size(), 2u);
  EXPECT_EQ(frequencies(logits, {.temperature = 1, .min_p = 1}).size(), 1u);
}

// sampler.h in double and from a full sort.
struct Truth {
  std::map<int, double> probabilities;  // before anything is cut off, by the ids of what can be drawn
  double held = 0;                      // by them together
  double margin = 1;                    // what a probability or a sum of them would have to be off for another cut
};

Truth truth(std::span<const float> logits, const SamplingParams& params) {
  const double greatest = *std::max_element(logits.begin(), logits.end());
  std::vector<std::pair<double, int>> sorted;  // negative probability and id: the likeliest first, then the lower id
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    sorted.push_back({-std::exp((logits[i] - greatest) / params.temperature), static_cast<int>(i)});
    total -= sorted.back().first;
  }
  for (auto& [negative, id] : sorted) negative /= total;
  std::sort(sorted.begin(), sorted.end());
  Truth found;
  if (params.top_k > 0) sorted.resize(std::min(sorted.size(), static_cast<std::size_t>(params.top_k)));
  if (params.top_p < 1) {
    double left = 0, sum = 0;
    for (const auto& [negative, id] : sorted) left -= negative;
    std::size_t kept = 0;
    do {
      sum -= sorted[kept++].first;
      found.margin = std::min(found.margin, std::abs(sum - params.top_p * left));
    } while (sum < params.top_p * left);
    sorted.resize(kept);
  }
  const double likeliest = -sorted.front().first, least = params.min_p * likeliest;
  for (const auto& [negative, id] : sorted) {
    if (params.min_p > 0 && id != sorted.front().second)
      found.margin = std::min(found.margin, std::abs(-negative - least));
    if (-negative < least) continue;
    found.probabilities[id] = -negative;
    found.held -= negative;
  }
  return found;
}

// Measured with every Isa: logarithms of probabilities are off by 1.0e-6, sums of them by 1.1e-7. A cut that is further
// than that from another must be the same.
constexpr double kLogRounding = 1e-5, kSumRounding = 1e-6;

// What the sampler says of each of many draws.
void expect_truth(std::span<const float> logits, const SamplingParams& params, std::uint64_t draws) {
  const Truth want = truth(logits, params);
  ASSERT_GT(want.margin, kSumRounding);
  Sampler sampler(kernels(), static_cast<int>(logits.size()));
  for (std::uint64_t position = 0; position < draws; ++position) {
    const int id = index(*sampler.sample(logits, params, position));
    ASSERT_TRUE(want.probabilities.contains(id));
    const double log_probability = std::log(want.probabilities.at(id) / want.held);
    ASSERT_NEAR(sampler.log_probability(), log_probability, kLogRounding);
    std::map<int, double> from;
    for (const Sampler::Candidate& c : sampler.drawn_from()) from[c.id] = c.weight;
    ASSERT_EQ(from.size(), sampler.drawn_from().size()) << "an id twice";
    if (!params.truncates()) {
      ASSERT_TRUE(from.empty());
      continue;
    }
    ASSERT_EQ(from.size(), want.probabilities.size());
    for (const auto& [kept, weight] : from) {
      ASSERT_TRUE(want.probabilities.contains(kept)) << kept;
      ASSERT_NEAR(std::log(weight), std::log(want.probabilities.at(kept)), kLogRounding);
    }
  }
}

std::vector<float> normal_logits(std::size_t vocab, double scale = 1) {
  Rng rng(9);
  std::vector<float> logits(vocab);
  for (float& x : logits) x = static_cast<float>(scale * rng.next_normal());
  return logits;
}

const std::vector<SamplingParams> kCuts{
    {.temperature = 0.7},
    {.temperature = 1.5},
    {.temperature = 0.8, .top_k = 7},
    {.temperature = 1.2, .top_p = 0.8},
    {.temperature = 1, .min_p = 0.15},
    {.temperature = 1.3, .top_k = 50, .top_p = 0.6},
    {.temperature = 1.3, .top_k = 50, .min_p = 0.3},
    {.temperature = 1, .top_p = 0.7, .min_p = 0.2},
    {.temperature = 2, .top_k = 20, .top_p = 0.9, .min_p = 0.4},
    {.temperature = 1, .top_k = 10000},
};

TEST(Sampler, SaysWhatATokenWasDrawnFromAndHowLikelyItWas) {
  const std::vector<float> logits = normal_logits(1003, 3);  // fills no block of 64 or 8
  for (std::size_t i = 0; i < kCuts.size(); ++i) {
    SCOPED_TRACE(i);
    expect_truth(logits, kCuts[i], 200);
    // What is cut off counts: a probability among all tokens would be found out.
    const double held = truth(logits, kCuts[i]).held;
    if (kCuts[i].truncates() && kCuts[i].top_k < 1000) EXPECT_GT(-std::log(held), 1e4 * kLogRounding);
  }
}

TEST(Sampler, AGreedyTokenIsCertainAndDrawnFromNothing) {
  Sampler sampler(kernels(), 5);
  sampler.sample(kLogits, {.temperature = 2, .top_k = 3}, 0);
  EXPECT_EQ(sampler.drawn_from().size(), 3u);
  EXPECT_LT(sampler.log_probability(), 0);
  sampler.sample(kLogits, {.top_k = 3, .top_p = 0.5}, 0);  // of the last token alone
  EXPECT_EQ(sampler.log_probability(), 0);
  EXPECT_TRUE(sampler.drawn_from().empty());
}

// The share that top-p wants is one of what top-k has left, and min-p comes last.
TEST(Sampler, CutsFollowOneAnother) {
  std::vector<float> logits;
  for (const float p : {0.1f, 0.4f, 0.2f, 0.1f, 0.2f}) logits.push_back(std::log(p));
  const auto drawn_from = [&](const SamplingParams& params) {
    Sampler sampler(kernels(), 5);
    sampler.sample(logits, params, 0);
    std::set<int> ids;
    for (const Sampler::Candidate& c : sampler.drawn_from()) ids.insert(c.id);
    return ids;
  };
  using Ids = std::set<int>;
  EXPECT_EQ(drawn_from({.temperature = 1, .top_k = 2}), (Ids{1, 2}));  // the lower id of equal ones
  EXPECT_EQ(drawn_from({.temperature = 1, .top_k = 3}), (Ids{1, 2, 4}));
  EXPECT_EQ(drawn_from({.temperature = 1, .top_p = 0.7}), (Ids{1, 2, 4}));
  EXPECT_EQ(drawn_from({.temperature = 1, .top_k = 3, .top_p = 0.7}), (Ids{1, 2}));      // 0.6 of 0.8
  EXPECT_EQ(drawn_from({.temperature = 1, .top_k = 3, .min_p = 0.45}), (Ids{1, 2, 4}));  // of 0.4, not of all
  EXPECT_EQ(drawn_from({.temperature = 1, .top_k = 3, .top_p = 0.7, .min_p = 0.55}), (Ids{1}));
}

// The front of a large vocabulary is sorted piece by piece; sorting all of it must say the same.
TEST(Sampler, TopPOfALargeVocabularyIsThatOfAFullSort) {
  const std::vector<float> logits = normal_logits(5000);
  for (const double top_p : {0.001, 0.05, 0.3, 0.9, 0.999}) {
    SCOPED_TRACE(top_p);
    expect_truth(logits, {.temperature = 1, .top_p = top_p}, 20);
  }
}

// All of what is alike and hardly likely may be wanted; the lower ids are.
TEST(Sampler, TopPReachesIntoAFlatTail) {
  std::vector<float> logits(1000, 0.0f);
  logits[500] = std::log(999.0f);  // half of all; each other one half a thousandth
  for (const double top_p : {0.4, 0.55, 0.9}) {
    SCOPED_TRACE(top_p);
    expect_truth(logits, {.temperature = 1, .top_p = top_p}, 20);
  }
}

TEST(Sampler, ADrawDependsOnSeedAndPositionOnly) {
  Sampler one(kernels(), 5), other(kernels(), 5);
  other.sample(kLogits, {.temperature = 2, .top_k = 2, .top_p = 0.5, .seed = 1}, 17);  // leaves nothing behind
  int differing = 0;
  for (std::uint64_t position = 0; position < 200; ++position) {
    const SamplingParams params{.temperature = 1.5, .seed = 42}, reseeded{.temperature = 1.5, .seed = 43};
    EXPECT_EQ(*one.sample(kLogits, params, position), *other.sample(kLogits, params, position));
    differing += *one.sample(kLogits, params, position) != *one.sample(kLogits, reseeded, position);
  }
  EXPECT_GT(differing, 50);
}

TEST(Sampler, NumbersThatAreNoneAreNeverDrawn) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  Sampler sampler(kernels(), 3);
  EXPECT_FALSE(sampler.sample(std::vector<float>{nan, nan, nan}, {.temperature = 1}, 0));
  for (std::uint64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(index(*sampler.sample(std::vector<float>{nan, 1, -inf}, {.temperature = 1}, i)), 1);
    EXPECT_EQ(index(*sampler.sample(std::vector<float>{0, inf, 5}, {.temperature = 1}, i)), 1);
    EXPECT_EQ(index(*sampler.sample(std::vector<float>{nan, 1, -inf}, {.temperature = 1, .top_k = 3}, i)), 1);
    EXPECT_EQ(sampler.log_probability(), 0);
    ASSERT_EQ(sampler.drawn_from().size(), 1u);
    EXPECT_EQ(sampler.drawn_from()[0].id, 1);
  }
}

}  // namespace
}  // namespace hadal
