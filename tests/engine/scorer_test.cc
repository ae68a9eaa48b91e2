// Scoring in one pass, in pieces and token by token gives the same logits for the same positions.
#include "engine/scorer.h"

#include <gtest/gtest.h>

#include <numeric>

#include "fake_model.h"

namespace hadal {
namespace {

std::vector<std::vector<float>> scored(const std::vector<TokenId>& tokens, const std::vector<int>& positions,
                                       int step) {
  FakeModel model;
  Scorer scorer = *Scorer::create(model, 1000, step);
  std::vector<std::vector<float>> rows;
  std::vector<int> visited;
  const Status done = scorer.score(tokens, positions, [&](int position, std::span<const float> logits) -> Status {
    visited.push_back(position);
    rows.emplace_back(logits.begin(), logits.end());
    return Done{};
  });
  EXPECT_TRUE(done.ok());
  EXPECT_EQ(visited, positions);
  return rows;
}

TEST(Scorer, EveryStepSizeGivesTheSameLogits) {
  const auto tokens = some_tokens(700, 1);
  std::vector<int> all(tokens.size());
  std::iota(all.begin(), all.end(), 0);
  const auto whole = scored(tokens, all, 700);
  for (const int step : {1, 7, 64, 129, 512}) EXPECT_EQ(scored(tokens, all, step), whole) << step;
  std::vector<float> last(FakeModel::kVocab);
  FakeModel::fill_logits(FakeModel::state_after(tokens), last);
  EXPECT_EQ(whole.back(), last);
}

TEST(Scorer, GivesOnlyThePositionsThatAreWanted) {
  const auto tokens = some_tokens(300, 2);
  const auto rows = scored(tokens, {0, 63, 64, 299}, 50);
  EXPECT_EQ(rows, scored(tokens, {0, 63, 64, 299}, 300));
  EXPECT_EQ(rows.size(), 4u);
}

TEST(Scorer, RefusesTooManyTokensAndUnknownOnes) {
  FakeModel model;
  Scorer scorer = *Scorer::create(model, 64, 64);
  const auto never = [](int, std::span<const float>) -> Status { return Done{}; };
  const std::vector<int> first{0};
  EXPECT_EQ(scorer.score(some_tokens(65, 3), first, never).error().message,
            "the text has 65 tokens; the context holds 64");
  EXPECT_EQ(scorer.score(std::vector<TokenId>{TokenId{61}}, first, never).error().message,
            "tokens: expected ids from 0 to 60, found 61");
  EXPECT_FALSE(scorer.score(std::vector<TokenId>{TokenId{-1}}, first, never).ok());
}

}  // namespace
}  // namespace hadal
