// Patterns of Oniguruma, run by PCRE2: what the two read differently is rewritten or refused. (What a tokenizer.json
// may hold at all is in tokenizer_json_test.cc.)
#include "text/split_regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> pieces(const char* pattern, std::string_view text) {
  const auto regex = SplitRegex::compile(pattern, "pattern");
  if (!regex.ok()) return {"error: " + regex.error().message};
  std::vector<std::string_view> views;
  RegexScratch scratch;
  regex->split(text, views, scratch);
  return {views.begin(), views.end()};
}

std::string spelled(const char* pattern) {
  const auto regex = SplitRegex::compile(pattern, "pattern");
  return regex.ok() ? regex->pattern() : "error: " + regex.error().message;
}

// The comma and the long-vowel mark are shared by several scripts and belong to none.
TEST(SplitRegex, NamesOfScriptsAreTheScriptAlone) {
  EXPECT_THAT(pieces("\\p{Han}+", "水、火a"), ElementsAre("水", "、", "火", "a"));
  EXPECT_THAT(pieces("[\\p{Hani}]+", "水、火"), ElementsAre("水", "、", "火"));
  EXPECT_THAT(pieces("\\p{Katakana}+", "ラーメン"), ElementsAre("ラ", "ー", "メン"));
  EXPECT_THAT(pieces("\\P{Han}+", "水、火"), ElementsAre("水", "、", "火"));
  EXPECT_THAT(pieces("\\p{^Han}+", "a、水"), ElementsAre("a、", "水"));
  EXPECT_THAT(pieces("\\P{^Han}+", "水、火"), ElementsAre("水", "、", "火"));
  EXPECT_EQ(spelled("\\p{Yi}\\p{Lu}\\P{L}\\p{sc:Han}"), "\\p{sc:Yi}\\p{Lu}\\P{L}\\p{sc:Han}");
}

TEST(SplitRegex, CountThatMayBeMissingIsRefused) {
  EXPECT_THAT(spelled("a{3}?"), HasSubstr("unsupported: \"{3}?\""));
  EXPECT_THAT(spelled("a{12}?b"), HasSubstr("unsupported: \"{12}?\""));
  EXPECT_THAT(pieces("a{1,3}?", "aaa"), ElementsAre("a", "a", "a"));
  EXPECT_THAT(pieces("a{2}", "aaa"), ElementsAre("aa", "a"));
  EXPECT_THAT(pieces("[{3}?]", "3{"), ElementsAre("3", "{"));
}

TEST(SplitRegex, CharacterHasOneSpelling) {
  for (const char* pattern : {"[^\r\n水]", "[^\\r\\n\\x{6C34}]", "[^\\x{00d}\\u000a\\水]"})
    EXPECT_EQ(spelled(pattern), "[^\\x{D}\\x{A}\\x{6C34}]") << pattern;
  EXPECT_EQ(spelled("\t\v\f \\d"), "\\x{9}\\x{B}\\x{C}\\x{20}\\p{Nd}");
  EXPECT_THAT(spelled("\\x{}"), HasSubstr("unsupported: \"\\x{}\""));
  EXPECT_THAT(spelled("\\x{12 34}"), HasSubstr("unsupported: \"\\x{12 34}\""));
  EXPECT_THAT(spelled("\\x{D800}"), HasSubstr("not a regular expression"));
  EXPECT_THAT(spelled("\\u12"), HasSubstr("unsupported: \"\\u\""));
}

// A limit of a million steps, whatever the length, made one piece of it.
TEST(SplitRegex, LongRunOfBlanksIsCutLikeAShortOne) {
  const std::string blanks(1'001'000, ' ');
  const auto cut = pieces("[^\\r\\n]?\\p{L}+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", blanks + "word");
  ASSERT_EQ(cut.size(), 2u);
  EXPECT_EQ(cut[0], blanks.substr(1));
  EXPECT_EQ(cut[1], " word");
}

TEST(SplitRegex, HostilePatternEnds) {
  EXPECT_EQ(pieces("(a*)*b", std::string(40, 'a')).size(), 1u);
}

}  // namespace
}  // namespace hadal
