// Copy drills: what is learned follows from what is given.
#include "trainer/tasks/copy_drills.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace hadal {
namespace {

const std::vector<std::string> kWords = {"lion", "Cat", "sea", "Archive", "7", "owl"};

TEST(CopyDrills, EveryLearnedLineFollowsFromTheGivenList) {
  Rng rng(5);
  int repeats = 0, lookups = 0, spellings = 0;
  for (int i = 0; i < 2000; ++i) {
    const CopyDrill drill = make_copy_drill(kWords, rng);
    ASSERT_FALSE(drill.given.empty());
    const auto [begin, end] = drill.given.front();
    ASSERT_EQ(begin, 0u);
    const std::string list = drill.text.substr(0, end - 1);  // without its line break
    ASSERT_EQ(list.find('\n'), std::string::npos);
    std::size_t from = end;
    while (from < drill.text.size()) {
      const std::size_t stop = drill.text.find('\n', from);
      ASSERT_NE(stop, std::string::npos);
      const std::string line = drill.text.substr(from, stop - from);
      from = stop + 1;
      if (const std::size_t mark = line.find(" > "); mark != std::string::npos) {
        ++lookups;
        const std::string plain = line.substr(0, mark) + line.substr(mark + 2);  // " a > b" -> " a b"
        const std::string comma = line.substr(0, mark) + "," + line.substr(mark + 2);
        EXPECT_TRUE(list.find(plain) != std::string::npos || list.find(comma) != std::string::npos) << drill.text;
      } else if (const std::size_t colon = line.find(": "); colon != std::string::npos) {
        ++spellings;
        EXPECT_NE(list.find(line.substr(0, colon)), std::string::npos) << drill.text;
        std::string letters;
        for (std::size_t c = colon + 2; c < line.size(); c += 2) letters += line[c];
        std::string word = line.substr(1, colon - 1);
        for (char& c : word) c = static_cast<char>(c | 0x20);
        EXPECT_EQ(letters, word);
      } else {
        ++repeats;
        EXPECT_EQ(line, list);
      }
    }
  }
  EXPECT_GT(repeats, 300);
  EXPECT_GT(lookups, 300);
  EXPECT_GT(spellings, 300);
}

}  // namespace
}  // namespace hadal
