#include "text/scripts.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(ShareOfLanguage, CountsLettersOfTheScript) {
  EXPECT_EQ(share_of_language("12+3=15", "ru"), 1);  // digits are nobody's
  EXPECT_EQ(share_of_language("всего: 15", "ru"), 1);
  EXPECT_EQ(share_of_language("всего abcde", "ru"), 0.5);
  EXPECT_EQ(share_of_language("剩下", "zh"), 1);
  EXPECT_EQ(share_of_language("のこり残り", "ja"), 1);
  EXPECT_EQ(share_of_language("のこ残", "zh"), 1.0 / 3);
  EXPECT_EQ(share_of_language("المجموع", "ar"), 1);
  EXPECT_EQ(share_of_language("übrig", "de"), 1);
  EXPECT_EQ(share_of_language("\xff\xfe abc", "en"), 1);  // ill-formed bytes are no letters
}

}  // namespace
}  // namespace hadal
