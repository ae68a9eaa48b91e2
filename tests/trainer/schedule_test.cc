// The learning rate is a pure function of the share of the stage that is done; values by hand.
#include "trainer/schedule.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(Schedule, WarmsUpFromZeroInAStraightLine) {
  const ScheduleRecipe s{.kind = ScheduleKind::constant, .warmup = 0.1, .decay = 0, .final_ratio = 0};
  EXPECT_DOUBLE_EQ(learning_rate_factor(s, 0), 0);
  EXPECT_DOUBLE_EQ(learning_rate_factor(s, 0.05), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate_factor(s, 0.1), 1);
  EXPECT_DOUBLE_EQ(learning_rate_factor(s, 1), 1);
}

TEST(Schedule, WarmupStableDecayHoldsAndThenFalls) {
  const ScheduleRecipe s{.kind = ScheduleKind::wsd, .warmup = 0, .decay = 0.4, .final_ratio = 0.1};
  EXPECT_DOUBLE_EQ(learning_rate_factor(s, 0), 1);
  EXPECT_DOUBLE_EQ(learning_rate_factor(s, 0.6), 1);
  EXPECT_NEAR(learning_rate_factor(s, 0.8), 0.55, 1e-12);
  EXPECT_NEAR(learning_rate_factor(s, 1), 0.1, 1e-12);
}

TEST(Schedule, CosineIsHalfwayInTheMiddle) {
  const ScheduleRecipe s{.kind = ScheduleKind::cosine, .warmup = 0.2, .decay = 0, .final_ratio = 0.2};
  EXPECT_NEAR(learning_rate_factor(s, 0.6), 0.6, 1e-12);
  EXPECT_NEAR(learning_rate_factor(s, 1), 0.2, 1e-12);
}

TEST(Schedule, LinearReachesItsEnd) {
  const ScheduleRecipe s{.kind = ScheduleKind::linear, .warmup = 0, .decay = 0, .final_ratio = 0};
  EXPECT_NEAR(learning_rate_factor(s, 0.25), 0.75, 1e-12);
  EXPECT_DOUBLE_EQ(learning_rate_factor(s, 1), 0);
}

TEST(Schedule, StaysBetweenZeroAndOneWhateverItIsAsked) {
  for (const ScheduleKind kind :
       {ScheduleKind::constant, ScheduleKind::linear, ScheduleKind::cosine, ScheduleKind::wsd})
    for (const double warmup : {0.0, 0.3, 1.0})
      for (const double decay : {0.0, 0.5, 1.0})
        for (double x = -0.5; x < 1.6; x += 0.05) {
          const double f = learning_rate_factor({kind, warmup, decay, 0.05}, x);
          EXPECT_GE(f, 0) << static_cast<int>(kind) << " " << warmup << " " << decay << " " << x;
          EXPECT_LE(f, 1) << static_cast<int>(kind) << " " << warmup << " " << decay << " " << x;
        }
}

}  // namespace
}  // namespace hadal
