// metrics.jsonl survives a kill, and the report reads without a network.
#include "trainer/metrics.h"

#include <gtest/gtest.h>

#include "tiny.h"
#include "trainer/report.h"

namespace hadal {
namespace {

StepMetrics step(std::int64_t n) {
  StepMetrics m;
  m.step = n;
  m.tokens = 100 * n;
  m.stage = "pretrain";
  m.loss = 8.0 / static_cast<double>(n);
  m.seconds = 2.5 * static_cast<double>(n);
  if (n % 2 == 0) m.held_out = {{"gcd", 1.5}, {"en", 0.5}};
  return m;
}

TEST(Metrics, AreReadBackAsWritten) {
  TemporaryFolder folder;
  const auto path = folder.path() / "metrics.jsonl";
  auto log = MetricsLog::open(path, 0, false);
  ASSERT_TRUE(log.ok());
  for (int n = 1; n <= 4; ++n) ASSERT_TRUE(log->append(step(n)).ok());
  const auto steps = read_metrics(path);
  ASSERT_TRUE(steps.ok());
  ASSERT_EQ(steps->size(), 4u);
  EXPECT_EQ((*steps)[3].tokens, 400);
  EXPECT_DOUBLE_EQ((*steps)[2].loss, 8.0 / 3);
  EXPECT_EQ((*steps)[1].held_out.at("gcd"), 1.5);
}

TEST(Metrics, AResumedRunDropsTheStepsAfterItsCheckpointAndAHalfLine) {
  TemporaryFolder folder;
  const auto path = folder.path() / "metrics.jsonl";
  {
    auto log = MetricsLog::open(path, 0, false);
    for (int n = 1; n <= 4; ++n) ASSERT_TRUE(log->append(step(n)).ok());
    std::ofstream(path, std::ios::app) << "{\"step\": 5, \"lo";
  }
  auto log = MetricsLog::open(path, 2, true);
  ASSERT_TRUE(log.ok());
  ASSERT_TRUE(log->append(step(3)).ok());
  const auto steps = read_metrics(path);
  ASSERT_TRUE(steps.ok());
  ASSERT_EQ(steps->size(), 3u);
  EXPECT_EQ(steps->back().step, 3);
}

TEST(Metrics, OfNoRunAreNone) {
  const auto steps = read_metrics("/nowhere/metrics.jsonl");
  ASSERT_TRUE(steps.ok());
  EXPECT_TRUE(steps->empty());
}

TEST(Report, IsOnePageThatLoadsNothing) {
  Recipe recipe = tiny("/tmp", "name = \"<a & b>\"\nwatts = 100\nprice_per_kwh = 0.5\n", "steps = 1");
  const auto config = recipe_model_config(recipe, {400, TokenId{0}, TokenId{1}});
  ASSERT_TRUE(config.ok());
  std::vector<StepMetrics> steps;
  for (int n = 1; n <= 2000; ++n) steps.push_back(step(n));
  const std::string html = report_html(recipe, *config, steps);
  for (const char* outside : {"http", "src=", "<script", "url(", "@import", "<link"})
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  EXPECT_EQ(html.find("<a & b>"), std::string::npos);
  EXPECT_NE(html.find("&lt;a &amp; b&gt;"), std::string::npos);
  EXPECT_NE(html.find("2000 steps"), std::string::npos);
  EXPECT_NE(html.find("0.139 kWh, assuming 100 W"), std::string::npos);  // 100 W for 5000 s
  EXPECT_NE(html.find("0.069, assuming 0.5 a kWh"), std::string::npos);
  EXPECT_LT(html.size(), 100000u);  // long runs are thinned
}

TEST(Report, ThePictureHasTheLossesOrWhatReinforcementDid) {
  Recipe recipe;
  recipe.name = "a<b";
  StepMetrics trained;
  trained.tokens = 10;
  trained.held_out["x"] = 1.5;
  const std::string losses = report_svg(recipe, {trained});
  EXPECT_NE(losses.find("held-out loss"), std::string::npos);
  EXPECT_NE(losses.find("a&lt;b"), std::string::npos);
  StepMetrics rewarded;
  rewarded.tokens = 20;
  rewarded.reinforcement = ReinforcementMetrics{};
  rewarded.reinforcement->groups_tried = 4;
  const std::string rewards = report_svg(recipe, {trained, rewarded});
  EXPECT_NE(rewards.find("tokens of an answer"), std::string::npos);
  EXPECT_EQ(rewards.find("loss a token"), std::string::npos);
}

TEST(Report, CurvesPassOverWhatIsNotFinite) {
  const Recipe recipe = tiny("/tmp", "", "steps = 1");
  const auto config = recipe_model_config(recipe, {400, TokenId{0}, TokenId{1}});
  std::vector<StepMetrics> steps{step(1), step(2), step(3)};
  steps[1].loss = NAN;
  const std::string html = report_html(recipe, *config, steps);
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_NE(report_html(recipe, *config, {}).find("no data"), std::string::npos);
  EXPECT_EQ(report_html(recipe, *config, {}).find("Reinforcement"), std::string::npos);
}

// What is measured after the last step of a stage has no step of its own: a run that is resumed there measures again,
// one that is resumed in the next stage, whose first checkpoint has the same step, does not.
TEST(MetricsLog, AMeasurementAfterTheLastStepIsKeptUnlessItIsMadeAgain) {
  TemporaryFolder folder;
  const auto path = folder.path() / "metrics.jsonl";
  {
    auto log = MetricsLog::open(path, 0, false);
    ASSERT_TRUE(log.ok());
    for (const std::int64_t step : {1, 2}) {
      StepMetrics m{.step = step, .tokens = 10, .stage = "grpo", .loss = 0.5};
      m.reinforcement.emplace().groups_tried = 3;
      ASSERT_TRUE(log->append(m).ok());
      m.reinforcement->groups_tried = 0;
      EXPECT_FALSE(m.is_a_step());
      ASSERT_TRUE(log->append(m).ok());
    }
  }
  ASSERT_TRUE(MetricsLog::open(path, 2, false).ok());
  ASSERT_EQ(read_metrics(path)->size(), 4u);
  ASSERT_TRUE(MetricsLog::open(path, 2, true).ok());
  const auto steps = read_metrics(path);
  ASSERT_TRUE(steps.ok());
  ASSERT_EQ(steps->size(), 3u);  // the one after step 1 stays
  EXPECT_TRUE(steps->back().is_a_step());
}

TEST(MetricsLog, AStepThatLearnedNothingHasNoLoss) {
  TemporaryFolder folder;
  const auto path = folder.path() / "metrics.jsonl";
  {
    auto log = MetricsLog::open(path, 0, false);
    ASSERT_TRUE(log.ok());
    for (const int kept : {0, 2}) {
      StepMetrics m{.step = 1, .stage = "grpo", .loss = 0.5};
      m.reinforcement.emplace().groups_tried = 3;
      m.reinforcement->groups_kept = kept;
      EXPECT_EQ(m.has_loss(), kept > 0);
      ASSERT_TRUE(log->append(m).ok());
    }
  }
  const std::string lines = bytes_of(path);
  EXPECT_EQ(lines.find("\"loss\""), lines.rfind("\"loss\""));  // once
  EXPECT_GT(lines.find("\"loss\""), lines.find('\n'));
}

// A step of reinforcement is read back as it was written, and the report shows what it changed.
TEST(Report, ShowsWhatReinforcementChanged) {
  TemporaryFolder folder;
  const Recipe recipe = tiny(folder.path(), "", "steps = 1\n");
  const auto config = recipe_model_config(recipe, {420, TokenId{0}, TokenId{1}});
  ASSERT_TRUE(config.ok());
  auto log = MetricsLog::open(folder.path() / "metrics.jsonl", 0, false);
  ASSERT_TRUE(log.ok());
  StepMetrics m{.step = 1, .tokens = 10, .stage = "grpo"};
  m.reinforcement.emplace();
  m.reinforcement->groups_tried = 3;
  m.reinforcement->reward = 0.75;
  m.reinforcement->held_out_accuracy = {{"gcd", 0.25}};
  ASSERT_TRUE(log->append(m).ok());
  m.step = 2;
  m.reinforcement->held_out_accuracy = {{"gcd", 0.5}};
  ASSERT_TRUE(log->append(m).ok());
  const auto steps = read_metrics(folder.path() / "metrics.jsonl");
  ASSERT_TRUE(steps.ok());
  ASSERT_EQ(steps->size(), 2u);
  EXPECT_EQ((*steps)[1].reinforcement->reward, 0.75);
  EXPECT_EQ((*steps)[1].reinforcement->groups_tried, 3);
  EXPECT_EQ((*steps)[1].reinforcement->held_out_accuracy.at("gcd"), 0.5);

  const std::vector<SampleAnswer> before{{"gcd", "Of <4> and 6?", "4", "4", false}, {"lcm", "Same?", "", "1", true}};
  const std::vector<SampleAnswer> after{{"gcd", "Of <4> and 6?", "6/4=1r2", "2", true},
                                        {"lcm", "Same?", "", "1", true}};
  const std::string html = report_html(recipe, *config, *steps, before, after);
  EXPECT_NE(html.find("<th>gcd</th><td>25.0</td><td>50.0</td>"), std::string::npos);
  EXPECT_NE(html.find("Of &lt;4&gt; and 6?"), std::string::npos);
  EXPECT_NE(html.find("6/4=1r2"), std::string::npos);
  EXPECT_EQ(html.find("Same?"), std::string::npos);  // nothing changed there
}

}  // namespace
}  // namespace hadal
