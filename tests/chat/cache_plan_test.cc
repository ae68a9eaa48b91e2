// The plan keeps what the engine needs (a whole context fits) and what the user needs (memory for everything else).
#include "chat/cache_plan.h"

#include <gtest/gtest.h>
#include <limits>

namespace hadal {
namespace {

constexpr LatentLayout kLayout{.layers = 3, .row_bytes = 128};
constexpr std::uint64_t kPageBytes = 3 * 128 * kPageTokens;  // of all layers

std::string error_of(const Result<CachePlan>& plan) {
  return plan.ok() ? "no error" : plan.error().message;
}

TEST(CachePlan, EverySequenceHasRoomForItsWholeContext) {
  const auto plan = plan_cache(
      kLayout, {.context_tokens = 1000, .model_context_tokens = 4096, .max_sequences = 5, .available_bytes = 1u << 30});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->context_tokens, 1000);
  EXPECT_EQ(plan->pages, 5 * 16);  // 1000 tokens begin 16 pages
}

TEST(CachePlan, WithoutAWishTheContextIsTheModels) {
  const auto plan =
      plan_cache(kLayout, {.model_context_tokens = 4096, .max_sequences = 1, .available_bytes = 1u << 30});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->context_tokens, 4096);
  EXPECT_EQ(plan->pages, 64);
}

TEST(CachePlan, FewerPagesThanWantedAreNoErrorWhileOneContextFits) {
  const auto plan = plan_cache(kLayout, {.context_tokens = 640,
                                         .model_context_tokens = 4096,
                                         .max_sequences = 8,
                                         .available_bytes = 4 * 25 * kPageBytes});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->context_tokens, 640);
  EXPECT_EQ(plan->pages, 25);
}

TEST(CachePlan, ContextThatNobodyAskedForShrinksToWhatFits) {
  const auto plan = plan_cache(
      kLayout, {.model_context_tokens = 4096, .max_sequences = 8, .available_bytes = 4 * 25 * kPageBytes + 17});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->context_tokens, 25 * kPageTokens);
  EXPECT_EQ(plan->pages, 25);
}

TEST(CachePlan, ContextThatWasAskedForAndDoesNotFitIsRefusedWithBothSizes) {
  const auto plan = plan_cache(
      kLayout, {.context_tokens = 4096, .model_context_tokens = 4096, .available_bytes = 4 * 25 * kPageBytes});
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().kind, ErrorKind::out_of_memory);
  EXPECT_NE(error_of(plan).find("context of 4096 tokens"), std::string::npos) << error_of(plan);
  EXPECT_NE(error_of(plan).find("a quarter of the free memory is"), std::string::npos) << error_of(plan);
}

TEST(CachePlan, NotOnePageFittingIsAnErrorEvenWithoutAWish) {
  const auto plan =
      plan_cache(kLayout, {.model_context_tokens = 4096, .max_sequences = 1, .available_bytes = 4 * kPageBytes - 1});
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().kind, ErrorKind::out_of_memory);
}

TEST(CachePlan, ContextOutsideTheModelsOwnIsRefused) {
  for (const int context : {-1, 4097}) {
    const auto plan =
        plan_cache(kLayout, {.context_tokens = context, .model_context_tokens = 4096, .available_bytes = 1u << 30});
    EXPECT_EQ(error_of(plan),
              "context: expected 1 to 4096 tokens (max_position_embeddings), found " + std::to_string(context));
  }
}

TEST(CachePlan, EveryPlanHoldsOneContextAndAQuarterOfTheMemoryHoldsThePlan) {
  constexpr int kMost = std::numeric_limits<int>::max();
  int plans = 0;
  for (const int wish : {0, 1, 63, 64, 65, 5000, kMost})
    for (const int model : {1, 64, 4096, 163840, kMost})
      for (const int sequences : {1, 3, 64, kMost})
        for (const std::uint64_t available :
             {std::uint64_t{0}, 4 * kPageBytes, std::uint64_t{1} << 30, std::uint64_t{1} << 45, ~std::uint64_t{0}}) {
          const auto plan = plan_cache(kLayout, {.context_tokens = wish,
                                                 .model_context_tokens = model,
                                                 .max_sequences = sequences,
                                                 .available_bytes = available});
          if (!plan.ok()) continue;
          ++plans;
          EXPECT_GE(plan->context_tokens, 1);
          EXPECT_LE(plan->context_tokens, wish > 0 ? wish : model);
          const std::int64_t page_tokens = kPageTokens;
          EXPECT_GE(plan->pages * page_tokens, plan->context_tokens) << wish << " " << model << " " << available;
          EXPECT_LE(static_cast<std::uint64_t>(plan->pages) * kPageBytes, available / 4);
        }
  EXPECT_GT(plans, 100);
}

}  // namespace
}  // namespace hadal
