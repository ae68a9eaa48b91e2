#include "server/metrics.h"

#include <gmock/gmock.h>

namespace hadal {
namespace {

using ::testing::HasSubstr;

TEST(Metrics, HistogramBucketsAreCumulative) {
  DurationHistogram histogram;
  for (const int ms : {5, 10, 50, 400'000}) histogram.add(std::chrono::milliseconds(ms));
  std::string out;
  histogram.write(out, "h", "Help.");
  EXPECT_THAT(out, HasSubstr("# HELP h Help.\n# TYPE h histogram\n"));
  EXPECT_THAT(out, HasSubstr("h_bucket{le=\"0.01\"} 2\n")) << "the bound itself is inside";
  EXPECT_THAT(out, HasSubstr("h_bucket{le=\"0.1\"} 3\n"));
  EXPECT_THAT(out, HasSubstr("h_bucket{le=\"300\"} 3\n"));
  EXPECT_THAT(out, HasSubstr("h_bucket{le=\"+Inf\"} 4\n"));
  EXPECT_THAT(out, HasSubstr("h_count 4\n"));
}

TEST(Metrics, EngineFiguresArePassedOn) {
  const ServerMetrics metrics;
  const std::string text = metrics.text({.active_sequences = 3,
                                         .waiting_sequences = 2,
                                         .pages_total = 10,
                                         .pages_free = 4,
                                         .pages_held = 6,
                                         .prompt_tokens = 100},
                                        "abyss");
  EXPECT_THAT(text, HasSubstr("hadal_sequences_active 3\n"));
  EXPECT_THAT(text, HasSubstr("hadal_sequences_waiting 2\n"));
  EXPECT_THAT(text, HasSubstr("hadal_cache_pages_held 6\n"));
  EXPECT_THAT(text, HasSubstr("hadal_prompt_tokens_total 100\n"));
}

TEST(Metrics, NameOfAModelCannotForgeALine) {
  const std::string text = ServerMetrics().text({}, "a\"} 1\nforged 7\\");
  EXPECT_THAT(text, HasSubstr("hadal_model_info{model=\"a\\\"} 1\\nforged 7\\\\\"} 1\n"));
}

}  // namespace
}  // namespace hadal
