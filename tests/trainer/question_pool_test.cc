// Which questions are asked: of sources and of levels within a source, fewer that teach little.
#include "trainer/reinforcement/question_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tiny.h"

namespace hadal {
namespace {

// Short and long questions in turn.
class ShortAndLong : public DataSource {
 public:
  Result<std::optional<SourceText>> text(std::uint64_t) const override { return std::optional<SourceText>(); }
  Result<std::optional<TaskItem>> question(std::uint64_t n) const override {
    TaskItem item;
    item.task = "gcd";
    item.question = n % 2 == 0 ? "1 2" : std::string(60, '7');
    return std::optional(item);
  }
  std::uint64_t size() const override { return 0; }
};

// The share of long questions among 400, when short ones are right half the time and long ones `long_right`.
double share_of_long(bool adaptive, double long_right) {
  std::vector<std::unique_ptr<DataSource>> sources;
  sources.push_back(std::make_unique<ShortAndLong>());
  const QuestionPool pool(sources, *tiny_data().encoder, {1.0}, adaptive, 200, 7);
  CurriculumState state;
  int long_ones = 0;
  constexpr int kWarm = 200, kCounted = 400;
  for (int i = 0; i < kWarm + kCounted; ++i) {
    const auto asked = pool.next(state);
    EXPECT_TRUE(asked.ok());
    const bool is_long = asked->item.question.size() > 10;
    EXPECT_EQ(asked->level, question_level(asked->prompt.size()));
    QuestionPool::record(*asked, is_long ? long_right : 0.5, state);
    if (i >= kWarm) long_ones += is_long;
  }
  return static_cast<double>(long_ones) / kCounted;
}

TEST(QuestionPool, AsksFewerQuestionsOfALevelThatIsHopelessOrTooEasy) {
  EXPECT_NEAR(share_of_long(true, 0.5), 0.5, 0.1);
  EXPECT_NEAR(share_of_long(false, 0.0), 0.5, 0.1);
  // A tenth is left: 0.1 / 1.1 of the questions.
  EXPECT_NEAR(share_of_long(true, 0.0), 0.09, 0.06);
  EXPECT_NEAR(share_of_long(true, 1.0), 0.09, 0.06);
}

std::vector<std::unique_ptr<DataSource>> short_and_long(std::size_t count) {
  std::vector<std::unique_ptr<DataSource>> sources;
  for (std::size_t i = 0; i < count; ++i) sources.push_back(std::make_unique<ShortAndLong>());
  return sources;
}

constexpr std::uint64_t kTrusted = 8;  // groups, after which an accuracy counts

// As if each source had been judged so often, and was right in such a share of its answers.
CurriculumState judged(std::vector<double> accuracy, std::uint64_t groups = kTrusted) {
  CurriculumState state;
  state.judged.assign(accuracy.size(), groups);
  state.accuracy = std::move(accuracy);
  return state;
}

std::vector<double> weights(std::vector<double> recipe, const CurriculumState& state, bool adaptive = true) {
  const auto sources = short_and_long(recipe.size());
  return QuestionPool(sources, *tiny_data().encoder, std::move(recipe), adaptive, 200, 7).weights(state);
}

constexpr double kRounding = 1e-12;  // measured: 2e-16 at most

// Without the 4 of 4 p (1 - p) the outer ones would weigh 0.4, and a source that nobody knows yet 4.
TEST(QuestionPool, ASourceWeighsFourTimesItsAccuracyTimesItsFailures) {
  const std::vector<double> w = weights({1, 1, 1, 1, 1}, judged({0, 0.25, 0.5, 0.75, 1}));
  EXPECT_NEAR(std::accumulate(w.begin(), w.end(), 0.0), 1, kRounding);
  const double want[] = {0.1, 0.75, 1, 0.75, 0.1};  // a tenth is the least
  for (std::size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(w[i] / w[2], want[i], kRounding) << i;
}

TEST(QuestionPool, ATenthIsTheLeastOfAWeight) {
  // 4 p (1 - p) is 0.12 and 0.08.
  const std::vector<double> w = weights({1, 1, 1}, judged({0.5, 0.5 - std::sqrt(0.22), 0.5 - std::sqrt(0.23)}));
  EXPECT_NEAR(w[1] / w[0], 0.12, kRounding);
  EXPECT_NEAR(w[2] / w[0], 0.1, kRounding);
}

TEST(QuestionPool, TheRecipesWeightsAreMultipliedAndStandAloneWhereNothingIsMeasured) {
  const CurriculumState known = judged({0.25, 0.5, 0});
  const std::vector<double> adapted = weights({2, 1, 0}, known);
  EXPECT_NEAR(adapted[0], 1.5 / 2.5, kRounding);
  EXPECT_NEAR(adapted[1], 1 / 2.5, kRounding);
  EXPECT_EQ(adapted[2], 0);
  const std::vector<double> recipes = weights({2, 1, 0}, known, /*adaptive=*/false);
  EXPECT_NEAR(recipes[0], 2.0 / 3, kRounding);
  EXPECT_EQ(weights({2, 1, 0}, CurriculumState()), recipes);
  EXPECT_EQ(weights({2, 1, 0}, judged({0.25, 0.5, 0}, kTrusted - 1)), recipes);
}

struct Asked {
  std::vector<double> by_source, of_long;  // shares: of all questions, and of a source's own
};

// `draws` questions, none of which is judged: the state stays what it is but for `drawn`.
Asked ask(const std::vector<std::unique_ptr<DataSource>>& sources, std::vector<double> recipe, CurriculumState state,
          int draws) {
  const QuestionPool pool(sources, *tiny_data().encoder, std::move(recipe), /*adaptive=*/true, 200, 7);
  std::vector<double> asked(sources.size()), long_ones(sources.size());
  for (int i = 0; i < draws; ++i) {
    const auto question = pool.next(state);
    EXPECT_TRUE(question.ok());
    asked[question->source] += 1;
    long_ones[question->source] += question->item.question.size() > 10;
  }
  Asked shares;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    shares.by_source.push_back(asked[i] / draws);
    shares.of_long.push_back(long_ones[i] / asked[i]);
  }
  return shares;
}

// Four standard deviations of a share of a half among so many draws. Measured: 0.009 at most; what a mistake would give
// is said beside each.
constexpr int kDraws = 4000;
constexpr double kChance = 0.032;

TEST(QuestionPool, SourcesAreAskedByTheirWeights) {
  auto sources = short_and_long(5);
  sources[3] = nullptr;  // its files are absent
  // 0.38, 0.58, 0.04; the recipe alone would be 0.25, 0.5, 0.25, the first two without the recipe 0.54, 0.41.
  const Asked asked = ask(sources, {1, 2, 1, 0, 0}, judged({0.5, 0.25, 0, 0.5, 0.5}), kDraws);
  const double want[] = {1 / 2.6, 1.5 / 2.6, 0.1 / 2.6};
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(asked.by_source[i], want[i], kChance) << i;
  EXPECT_EQ(asked.by_source[3], 0);
  EXPECT_EQ(asked.by_source[4], 0);
}

// Every second question is a long one, and each source has levels of its own.
TEST(QuestionPool, LevelsOfASourceAreAskedByTheirAccuracies) {
  const auto sources = short_and_long(3);
  const ExampleEncoder& encoder = *tiny_data().encoder;
  const auto level = [&](std::uint64_t n) {
    return question_level(encoder.prompt((*sources[0]->question(n))->question)->size());
  };
  const std::size_t short_level = level(0), long_level = level(1);
  ASSERT_NE(short_level, long_level);
  CurriculumState state;
  state.level_judged.assign(3 * kQuestionLevels, kTrusted);
  state.level_accuracy.assign(3 * kQuestionLevels, 0.5);
  state.level_accuracy[long_level] = 0.25;
  state.level_accuracy[kQuestionLevels + short_level] = 1;
  const Asked asked = ask(sources, {1, 1, 1}, state, 3 * kDraws);
  const double want[] = {0.75 / 1.75, 1 / 1.1, 0.5};  // all 0.5 if levels did not count
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(asked.of_long[i], want[i], kChance) << i;
    EXPECT_NEAR(asked.by_source[i], 1.0 / 3, kChance) << i;
  }
}

// As a run does it: what was learnt of the answers decides. 0.09 of the questions; 0.5 or none would be wrong.
TEST(QuestionPool, AHopelessSourceIsStillAskedATenthAsOften) {
  const auto sources = short_and_long(2);
  const QuestionPool pool(sources, *tiny_data().encoder, {1, 1}, /*adaptive=*/true, 200, 7);
  CurriculumState state;
  double hopeless = 0;
  constexpr int kWarm = 100;
  for (int i = 0; i < kWarm + kDraws; ++i) {
    const auto asked = pool.next(state);
    ASSERT_TRUE(asked.ok()) << asked.error().message;
    QuestionPool::record(*asked, asked->source == 0 ? 0 : 0.5, state);
    if (i >= kWarm && asked->source == 0) hopeless += 1.0 / kDraws;
  }
  EXPECT_NEAR(hopeless, 0.1 / 1.1, kChance);
}

// All its levels are hopeless then too: at most 16 questions are left out before one is taken. One in six would be left
// out longer.
TEST(QuestionPool, AHopelessSourceAloneIsStillAsked) {
  const auto sources = short_and_long(1);
  const QuestionPool pool(sources, *tiny_data().encoder, {1}, /*adaptive=*/true, 200, 7);
  CurriculumState state;
  std::uint64_t most = 0;
  for (int i = 0; i < 300; ++i) {
    const std::uint64_t before = i == 0 ? 0 : state.drawn[0];
    const auto asked = pool.next(state);
    ASSERT_TRUE(asked.ok()) << asked.error().message;
    most = std::max(most, state.drawn[0] - before);
    QuestionPool::record(*asked, 0, state);
  }
  EXPECT_EQ(most, 17u);
}

TEST(QuestionPool, TheStateAloneDecidesWhatComesNext) {
  std::vector<std::unique_ptr<DataSource>> sources;
  sources.push_back(std::make_unique<ShortAndLong>());
  const QuestionPool pool(sources, *tiny_data().encoder, {1.0}, true, 200, 7);
  CurriculumState state;
  for (int i = 0; i < 50; ++i) QuestionPool::record(*pool.next(state), i % 3 == 0, state);
  CurriculumState again = state;
  for (int i = 0; i < 50; ++i) EXPECT_EQ(pool.next(state)->prompt, pool.next(again)->prompt);
  EXPECT_EQ(state.drawn, again.drawn);
}

}  // namespace
}  // namespace hadal
