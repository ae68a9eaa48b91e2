// Which questions are asked: of sources and of levels within a source, fewer that teach little.
#include "trainer/reinforcement/question_pool.h"

#include <gtest/gtest.h>

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

TEST(QuestionPool, AHopelessSourceIsStillAsked) {
  std::vector<std::unique_ptr<DataSource>> sources;
  sources.push_back(std::make_unique<ShortAndLong>());
  const QuestionPool pool(sources, *tiny_data().encoder, {1.0}, true, 200, 7);
  CurriculumState state;
  for (int i = 0; i < 300; ++i) {
    const auto asked = pool.next(state);
    ASSERT_TRUE(asked.ok()) << asked.error().message;
    QuestionPool::record(*asked, 0, state);
  }
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
