// Sums in a person's words: all languages and signs, worked and right.
#include "trainer/tasks/asked_sums.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "trainer/tasks/judge.h"
#include "trainer/tasks/worked_steps.h"

namespace hadal {
namespace {

TEST(AskedSums, AreWorkedAndJudgedRight) {
  Rng rng(3);
  std::set<std::string> languages, signs;
  for (int i = 0; i < 3000; ++i) {
    const TaskItem item = make_asked_sum(rng);
    const auto worked = work_out(item);
    ASSERT_TRUE(worked.ok()) << worked.error().message;
    EXPECT_EQ(worked->answer, item.answer) << item.question;
    EXPECT_TRUE(*judge(item.task, worked->answer, item.answer, item.meta)) << item.question;
    EXPECT_EQ(item.question.find('#'), std::string::npos);
    languages.insert(item.lang);
    for (const char* sign : {"+", "-", "*", "/", "×", "÷", "x"})
      if (item.question.find(sign) != std::string::npos) signs.insert(sign);
  }
  EXPECT_EQ(languages.size(), 8u);
  EXPECT_EQ(signs.size(), 7u);
}

TEST(AskedSums, TheQuestionHoldsTheTermsOfTheExpression) {
  Rng rng(4);
  for (int i = 0; i < 500; ++i) {
    const TaskItem item = make_asked_sum(rng);
    const auto digits_of = [](const std::string& text) {
      std::string digits;
      for (const char c : text)
        if (c >= '0' && c <= '9') digits += c;
      return digits;
    };
    EXPECT_EQ(digits_of(item.question), digits_of(item.meta.at("expression").get<std::string>())) << item.question;
  }
}

}  // namespace
}  // namespace hadal
