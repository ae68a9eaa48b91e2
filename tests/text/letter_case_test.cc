#include "text/letter_case.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(LetterCase, ChangesTheFirstLetterAndNothingElse) {
  EXPECT_EQ(with_capital("each costs 3"), "Each costs 3");
  EXPECT_EQ(with_capital("¿cuánto?"), "¿Cuánto?");
  EXPECT_EQ(with_capital("école"), "École");
  EXPECT_EQ(with_capital("сколько"), "Сколько");
  EXPECT_EQ(without_capital("How Many"), "how Many");
  EXPECT_EQ(without_capital("¿Qué"), "¿qué");
}

TEST(LetterCase, LeavesScriptsWithoutCaseAndNumbersAsTheyAre) {
  for (const char* text : {"", "小明", "كم", "りんご", "12 apples", "...", "\xff\xfe"}) {
    EXPECT_EQ(with_capital(text), text);
    EXPECT_EQ(without_capital(text), text);
  }
}

}  // namespace
}  // namespace hadal
