// What an answer is worth: form, rule and language.
#include "trainer/reinforcement/reward.h"

#include <gtest/gtest.h>

#include "tiny.h"

namespace hadal {
namespace {

AnswerText read(const std::string& said) {
  const Tokenizer& tokenizer = tiny_data().encoder->tokenizer();
  const auto tokens = AnswerTokens::find(tokenizer);
  EXPECT_TRUE(tokens.ok());
  return read_answer(tokenizer.encode(said, SpecialTokens::parse), tokenizer, *tokens);
}

TEST(ReadAnswer, PartsReasoningFromAnswer) {
  const AnswerText text = read("2+3=5\n</think>\n\n5<｜end▁of▁sentence｜>");
  EXPECT_EQ(text.reasoning, "2+3=5");
  EXPECT_EQ(text.answer, "5");
  EXPECT_TRUE(text.in_form);
}

TEST(ReadAnswer, OtherFormsAreNotInForm) {
  EXPECT_FALSE(read("5<｜end▁of▁sentence｜>").in_form);  // never thought to the end
  EXPECT_EQ(read("5<｜end▁of▁sentence｜>").answer, "");  // so nothing can be right
  EXPECT_FALSE(read("2\n</think>\n\n5").in_form);        // cut
  EXPECT_EQ(read("2\n</think>\n\n5").answer, "5");
  EXPECT_FALSE(read("2\n</think>\n\n</think>5<｜end▁of▁sentence｜>").in_form);  // twice
  EXPECT_FALSE(read("2\n</think>\n\n \n<｜end▁of▁sentence｜>").in_form);        // no answer
  EXPECT_FALSE(read("\n</think>\n\n5<｜end▁of▁sentence｜>").in_form);           // no thought
  EXPECT_FALSE(read("").in_form);
}

TEST(RewardOf, AddsWhatTheRecipeWeighs) {
  TaskItem item;
  item.task = "word_problems";
  item.answer = "12";
  const RewardWeights weights{.right = 1, .form = 0.25, .language = 0.5};
  const auto reward = [&](const AnswerText& text) { return reward_of(item, text, weights)->total; };
  EXPECT_DOUBLE_EQ(reward({.reasoning = "left 12", .answer = "12", .in_form = true}), 1.75);
  EXPECT_DOUBLE_EQ(reward({.reasoning = "left 12", .answer = "13", .in_form = true}), 0.75);
  EXPECT_DOUBLE_EQ(reward({.reasoning = "осталось", .answer = "12", .in_form = false}), 1);
  item.task = "unknown";
  EXPECT_FALSE(reward_of(item, {.reasoning = "", .answer = "12", .in_form = true}, weights).ok());
}

}  // namespace
}  // namespace hadal
