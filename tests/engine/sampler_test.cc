// The sampler draws what its parameters say, and the same each time.
#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

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

// The front of a large vocabulary is sorted piece by piece; sorting all of it must say the same.
TEST(Sampler, TopPOfALargeVocabularyIsThatOfAFullSort) {
  Rng rng(9);
  std::vector<float> logits(5000);
  for (float& x : logits) x = static_cast<float>(rng.next_normal());
  std::vector<std::pair<double, int>> sorted;
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    sorted.push_back({-logits[i], static_cast<int>(i)});
    total += std::exp(static_cast<double>(logits[i]));
  }
  std::sort(sorted.begin(), sorted.end());
  for (const double top_p : {0.05, 0.3, 0.9}) {
    std::size_t kept = 0;
    for (double held = 0; held < top_p * total;) held += std::exp(-sorted[kept++].first);
    std::map<int, bool> allowed;
    for (std::size_t i = 0; i < kept; ++i) allowed[sorted[i].second] = true;
    const auto shares = frequencies(logits, {.temperature = 1, .top_p = top_p}, 300);
    for (const auto& [id, share] : shares) EXPECT_TRUE(allowed.contains(id)) << top_p;
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
  }
}

}  // namespace
}  // namespace hadal
