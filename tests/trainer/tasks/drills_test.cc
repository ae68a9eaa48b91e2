// Drills: true, in the shared notation, and the same for the same seed.
#include "trainer/tasks/drills.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "trainer/tasks/notation.h"

namespace hadal {
namespace {

TEST(Drills, AreExactlyTheNotationOfTheTasks) {
  Rng rng(1);
  std::set<char> operations;
  for (int i = 0; i < 3000; ++i) {
    const Drill drill = make_drill(rng);
    ASSERT_FALSE(drill.worked.empty());
    const std::size_t at = drill.given.find_first_of("+-*/", 1);
    ASSERT_NE(at, std::string::npos) << drill.given;
    operations.insert(drill.given[at]);
    const Statement again = calculate(std::stoll(drill.given), drill.given[at], std::stoll(drill.given.substr(at + 1)));
    EXPECT_EQ(again.text, drill.given + drill.worked);
  }
  EXPECT_EQ(operations.size(), 4u);
}

TEST(Drills, DependOnTheSeedAlone) {
  Rng one(9);
  Rng other(9);
  Rng third(10);
  int same = 0;
  for (int i = 0; i < 50; ++i) {
    const Drill drill = make_drill(one);
    EXPECT_EQ(drill.given, make_drill(other).given);
    same += drill.given == make_drill(third).given;
  }
  EXPECT_LT(same, 10);
}

}  // namespace
}  // namespace hadal
