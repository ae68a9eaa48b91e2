// Batches: whole examples one after another, no padding, shares as asked, and the same again from any state.
#include "trainer/batch_stream.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <set>

#include "tiny.h"
#include "trainer/tasks/generators.h"

namespace hadal {
namespace {

Mixture mixture(TrainOn train_on, double drills_at_end = 0.25) {
  const TinyData& data = tiny_data();
  return {.sources = data.sources,
          .encoder = data.encoder.get(),
          .weights = {0.25, 0.75},
          .weights_at_end = {drills_at_end, 1 - drills_at_end},
          .train_on = train_on,
          .batch_tokens = 600,
          .sequence_tokens = 400};
}

TEST(Permutation, TakesEveryItemOnce) {
  for (const std::uint64_t size : {1, 2, 3, 4, 5, 7, 16, 100, 1000, 4097}) {
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < size; ++i) seen.insert(permuted(size * 31, size, i));
    EXPECT_EQ(seen.size(), size);
    EXPECT_EQ(*seen.rbegin(), size - 1);
  }
}

TEST(Permutation, AnotherKeyIsAnotherOrder) {
  std::size_t same = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) same += permuted(1, 1000, i) == permuted(2, 1000, i);
  EXPECT_LT(same, 20u);
}

TEST(Batch, RowsAreWholeExamplesAndNothingElse) {
  for (const TrainOn train_on : {TrainOn::all, TrainOn::answers}) {
    BatchStream stream(mixture(train_on), {});
    for (int step = 0; step < 5; ++step) {
      const auto batch = stream.next(0);
      ASSERT_TRUE(batch.ok());
      const std::size_t rows = batch->tokens.size();
      ASSERT_EQ(batch->targets.size(), rows);
      EXPECT_GE(rows, 600u);
      EXPECT_LT(rows, 600u + 400u);  // it ends with the example that reaches batch_tokens
      ASSERT_EQ(batch->starts.front(), 0);
      ASSERT_EQ(batch->starts.back(), static_cast<int>(rows));
      EXPECT_TRUE(std::is_sorted(batch->starts.begin(), batch->starts.end()));
      for (std::size_t s = 0; s + 1 < batch->starts.size(); ++s) {
        const auto begin = static_cast<std::size_t>(batch->starts[s]),
                   end = static_cast<std::size_t>(batch->starts[s + 1]);
        EXPECT_EQ(batch->tokens[begin], tiny_data().encoder->bos());
        EXPECT_EQ(batch->targets[end - 1], index(tiny_data().encoder->eos()));
        for (std::size_t i = begin; i + 1 < end; ++i)
          if (batch->targets[i] != -1) EXPECT_EQ(batch->targets[i], index(batch->tokens[i + 1]));
      }
    }
  }
}

TEST(Batch, IsAPureFunctionOfItsState) {
  std::vector<TrainingBatch> whole;
  BatchStream first(mixture(TrainOn::all, 0.9), {});
  BatchState middle;
  for (int step = 0; step < 8; ++step) {
    whole.push_back(std::move(first.next(0.1 * (step + 1))).value());
    if (step == 3) middle = first.state();
  }
  BatchStream second(mixture(TrainOn::all, 0.9), middle);
  for (int step = 4; step < 8; ++step) {
    const TrainingBatch batch = std::move(second.next(0.1 * (step + 1))).value();
    EXPECT_EQ(batch.tokens, whole[static_cast<std::size_t>(step)].tokens) << step;
    EXPECT_EQ(batch.targets, whole[static_cast<std::size_t>(step)].targets);
    EXPECT_EQ(batch.starts, whole[static_cast<std::size_t>(step)].starts);
  }
}

TEST(Batch, SourcesGetTheirSharesInTokens) {
  BatchState state;
  state.drawn = {0, 0};
  state.unpaid_tokens = {0, 0};
  const Mixture half = mixture(TrainOn::all);
  for (int step = 0; step < 20; ++step) ASSERT_TRUE(make_batch(half, state).ok());
  // What a source is owed never passes one example: no share drifts.
  EXPECT_LT(std::abs(state.unpaid_tokens[0]), 400);
  EXPECT_NEAR(state.unpaid_tokens[0] + state.unpaid_tokens[1], 0, 1e-6);
  EXPECT_GT(state.drawn[0], 10u);
}

TEST(Batch, TheMixtureMovesWithProgress) {
  BatchState early, late;
  early.drawn = late.drawn = {0, 0};
  early.unpaid_tokens = late.unpaid_tokens = {0, 0};
  late.progress = 1;
  const Mixture moving = mixture(TrainOn::all, 1.0);
  for (int step = 0; step < 4; ++step) {
    ASSERT_TRUE(make_batch(moving, early).ok());
    ASSERT_TRUE(make_batch(moving, late).ok());
  }
  EXPECT_GT(early.drawn[1], 0u);
  EXPECT_EQ(late.drawn[1], 0u);  // of weight 0 by then
}

TEST(Batch, ExamplesTooLongAreCountedAndASourceOfNothingElseIsAnError) {
  Mixture narrow = mixture(TrainOn::all);
  narrow.sequence_tokens = 8;  // every story is longer
  narrow.weights = narrow.weights_at_end = {0, 1};
  BatchState state;
  state.drawn = {0, 0};
  state.unpaid_tokens = {0, 0};
  const auto batch = make_batch(narrow, state);
  ASSERT_FALSE(batch.ok());
  EXPECT_NE(batch.error().message.find("at most 8 tokens"), std::string::npos) << batch.error().message;
  EXPECT_NE(batch.error().message.find("(the last: too long)"), std::string::npos) << batch.error().message;
  EXPECT_EQ(state.passed_over, (std::vector<std::uint64_t>{0, 10000}));
  EXPECT_EQ(passed_over_by_source(state, narrow.sources), "10000 of stories");
}

// A tokenizer that hadal trains has no tokens for what a tool says.
TEST(Batch, AConversationThatCannotBeWrittenIsPassedOver) {
  TemporaryFolder folder;
  const std::string good =
      R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello!"}]})";
  const std::string tool = R"({"messages": [{"role": "user", "content": "hi"}, {"role": "tool", "content": "42"}, )"
                           R"({"role": "assistant", "content": "Hello!"}]})";
  SourceRecipe recipe;
  recipe.name = "talk";
  recipe.kind = SourceKind::conversations;
  recipe.paths = {folder.path() / "talk.jsonl"};
  const auto batch_of = [&](const std::string& lines, BatchState& state) {
    std::ofstream(recipe.paths[0]) << lines;
    auto opened = open_source(recipe, 1, tiny_data().none);
    EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : opened.error().message);
    std::vector<std::unique_ptr<DataSource>> sources;
    sources.push_back(std::move(opened).value());
    Mixture talk = mixture(TrainOn::answers);
    talk.sources = sources;
    talk.weights = talk.weights_at_end = {1};
    auto batch = make_batch(talk, state);
    EXPECT_EQ(passed_over_by_source(state, sources), fmt::format("{} of talk", state.passed_over[0]));
    return batch;
  };
  BatchState some, none;
  const auto batch = batch_of(good + "\n" + tool, some);
  ASSERT_TRUE(batch.ok()) << batch.error().message;
  EXPECT_GT(some.passed_over[0], 0u);
  EXPECT_EQ(some.drawn[0], some.passed_over[0] + batch->starts.size() - 1);
  const auto refused = batch_of(tool, none);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("source talk: expected examples"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(refused.error().message.find("the last: too long"), std::string::npos) << refused.error().message;
}

TEST(Batch, SourcesAddedAtTheEndOfARecipeBeginAfresh) {
  BatchState state;
  state.drawn = {5};
  state.unpaid_tokens = {0.0};
  BatchStream stream(mixture(TrainOn::all), state);
  ASSERT_TRUE(stream.next(0).ok());
  ASSERT_EQ(stream.state().drawn.size(), 2u);
  EXPECT_GE(stream.state().drawn[0], 5u);
  EXPECT_GT(stream.state().drawn[1], 0u);
}

}  // namespace
}  // namespace hadal
