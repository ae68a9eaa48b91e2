// Where the run of a checkpoint stands in a recipe that has changed since.
#include "trainer/training_state.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

Recipe recipe_with(std::initializer_list<const char*> stages) {
  Recipe recipe;
  recipe.sources.resize(2);
  for (const char* name : stages) recipe.stages.emplace_back().name = name;
  return recipe;
}

RunCounters at(int stage, const char* name) {
  RunCounters counters;
  counters.stage = stage;
  counters.stage_name = name;
  return counters;
}

int place(const Recipe& recipe, RunCounters counters) {
  const Status found = find_place(recipe, "step-7", counters);
  EXPECT_TRUE(found.ok()) << (found.ok() ? "" : found.error().message);
  return counters.stage;
}

TEST(TrainingState, TheStageUnderWayIsFoundByItsName) {
  EXPECT_EQ(place(recipe_with({"zero", "sft", "rl"}), at(2, "rl")), 2);
  EXPECT_EQ(place(recipe_with({"sft", "rl"}), at(2, "rl")), 1);  // the index is behind the last
  EXPECT_EQ(place(recipe_with({"new", "zero", "sft", "rl"}), at(1, "sft")), 2);
  EXPECT_EQ(place(recipe_with({"sft", "sft"}), at(1, "sft")), 1);  // of two of the name the one at its index
  EXPECT_EQ(place(recipe_with({"zero", "sft"}), at(1, "")), 1);    // a checkpoint that knows no names
}

TEST(TrainingState, ATokenizerOfAnotherSizeIsAnError) {
  Recipe recipe = recipe_with({"sft"});
  RunCounters counters = at(0, "sft");
  counters.tokenizer_vocab_size = 420;
  recipe.tokenizer_vocab_size = 420;
  EXPECT_TRUE(find_place(recipe, "step-7", counters).ok());
  recipe.tokenizer_vocab_size = 500;
  const Status refused = find_place(recipe, "step-7", counters);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message,
            "step-7: tokenizer: vocab_size: expected 420, which the run's tokenizer was made with, found 500");
  counters.tokenizer_vocab_size = 0;  // an older checkpoint
  EXPECT_TRUE(find_place(recipe, "step-7", counters).ok());
}

TEST(TrainingState, AStageThatIsGoneAndSourcesThatAreGoneAreErrors) {
  RunCounters gone = at(0, "zero"), behind = at(2, ""), sources = at(0, "sft");
  sources.batches.drawn = {1, 2, 3};
  const Recipe recipe = recipe_with({"sft", "rl"});
  for (const auto& [counters, said] :
       {std::pair{&gone, "step-7: expected a stage of the recipe under way, found stage 0 \"zero\""},
        std::pair{&behind, "step-7: expected a stage of the recipe under way, found stage 2 \"\""},
        std::pair{&sources, "step-7: expected a run of at most 2 sources, as the recipe has, found 3 of them"}}) {
    const Status refused = find_place(recipe, "step-7", *counters);
    ASSERT_FALSE(refused.ok()) << said;
    EXPECT_EQ(refused.error().message, said);
  }
}

}  // namespace
}  // namespace hadal
