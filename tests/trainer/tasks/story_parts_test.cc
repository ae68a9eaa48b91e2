// Wordings from parts: every order, every way, each value once, sentences that begin and end as they should.
#include "trainer/tasks/story_parts.h"

#include <gtest/gtest.h>

#include <cctype>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "trainer/tasks/story_templates.h"
#include "trainer/tasks/worked_steps.h"

namespace hadal {
namespace {

constexpr const char* kSmall = R"({"version": 1,
  "languages": {"en": {"stop": ".", "blank": " ", "joints": [" and "], "frames": ["if {facts}, {question}"],
                       "asides": ["The bus has the number {n}."]}},
  "stories": {"buy": {"en": {"facts": [["Ann takes 3"], ["one costs 4", "the price is 4"]],
                             "questions": ["How much is it?"]}}}})";

StoryParts parts_of(const std::string& text) {
  auto parts = StoryParts::parse(text, "parts.json");
  EXPECT_TRUE(parts.ok()) << (parts.ok() ? "" : parts.error().message);
  return *std::move(parts);
}

TEST(StoryParts, PutsTogetherEveryWordingOfASmallStory) {
  const StoryParts parts = parts_of(kSmall);
  EXPECT_TRUE(parts.has("buy", "en"));
  EXPECT_FALSE(parts.has("buy", "de"));
  EXPECT_FALSE(parts.has("sell", "en"));
  Rng rng(1);
  std::set<std::string> found;
  for (int i = 0; i < 2000; ++i) {
    const std::string wording = finish_wording(parts.wording("buy", "en", rng));
    if (wording.find("{n}") == std::string::npos) found.insert(wording);
  }
  std::set<std::string> expected;
  for (const std::string price : {"one costs 4", "the price is 4"}) {
    expected.insert("If Ann takes 3 and " + price + ", how much is it?");
    expected.insert("If " + price + " and Ann takes 3, how much is it?");
    std::string sentence = price + ".";
    sentence[0] = static_cast<char>(std::toupper(sentence[0]));
    for (const std::string& facts : {"Ann takes 3. " + sentence, sentence + " Ann takes 3."}) {
      expected.insert(facts + " How much is it?");
      expected.insert("How much is it? " + facts);
    }
  }
  EXPECT_EQ(found, expected);
}

TEST(StoryParts, PutsAnAsideBeforeAnyWordingWhereTheLanguageHasOne) {
  const StoryParts parts = parts_of(kSmall);
  Rng rng(1);
  EXPECT_EQ(parts.behind_an_aside("How much?", "en", rng), "The bus has the number {n}. How much?");
  EXPECT_EQ(parts.behind_an_aside("Wie viel?", "de", rng), "Wie viel?");
}

TEST(StoryParts, RefusesFilesThatCannotBeWordings) {
  const std::string whole = kSmall;
  const auto with = [&whole](const std::string& from, const std::string& to) {
    std::string changed = whole;
    changed.replace(changed.find(from), from.size(), to);
    return StoryParts::parse(changed, "parts.json");
  };
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"\"version\": 1", "\"version\": 2"},
                                                        {"\"version\": 1,", "\"version\": 1"},
                                                        {"[\" and \"]", "[]"},
                                                        {"[\"How much is it?\"]", "[]"},
                                                        {"[\"Ann takes 3\"]", "[]"},
                                                        {"\"buy\": {\"en\"", "\"buy\": {\"de\""},
                                                        {"\"stop\": \".\"", "\"stop\": 3"}}) {
    const auto parts = with(from, to);
    ASSERT_FALSE(parts.ok()) << to;
    EXPECT_TRUE(parts.error().message.starts_with("parts.json")) << parts.error().message;
  }
}

// The recipes' own parts state the values of the stories' whole texts, each in one fact or in the question.
TEST(StoryParts, OfTheRecipesStateEachValueOnce) {
  const std::string folder = HADAL_SOURCE_DIR "/recipes/data/";
  const auto parts = StoryParts::load(folder + "story_parts.json");
  ASSERT_TRUE(parts.ok()) << parts.error().message;
  const auto stories = nlohmann::json::parse(std::ifstream(folder + "word_problems.json"));
  static const std::regex slot("\\{([a-z])\\}");
  const auto values = [](const std::string& text) {
    std::multiset<std::string> found;
    for (std::sregex_iterator at(text.begin(), text.end(), slot), end; at != end; ++at) found.insert((*at)[1]);
    return found;
  };
  for (const auto& story : stories.at("templates")) {
    for (const auto& [lang, texts] : story.at("text").items()) {
      const std::string id = story.at("id").get<std::string>();
      ASSERT_TRUE(parts->has(id, lang)) << id << " " << lang;
      std::multiset<std::string> all;
      for (const auto& ways : parts->sentences(id, lang)) {
        const auto stated = values(ways.front());
        EXPECT_GE(ways.size(), 5u) << id << " " << lang;
        for (const std::string& way : ways) EXPECT_EQ(values(way), stated) << way;
        all.insert(stated.begin(), stated.end());
      }
      const auto whole = values(texts.at(0).get<std::string>());
      EXPECT_EQ(all, std::multiset<std::string>(whole.begin(), whole.end())) << id << " " << lang;
    }
  }
}

TEST(StoryParts, GiveTheTemplatesWordingsThatAreWorkedAsBefore) {
  const std::string folder = HADAL_SOURCE_DIR "/recipes/data/";
  auto stories = StoryTemplates::load(folder + "word_problems.json");
  auto parts = StoryParts::load(folder + "story_parts.json");
  ASSERT_TRUE(stories.ok() && parts.ok());
  stories->add_parts(*std::move(parts));
  Rng rng(2);
  for (const std::string& lang : stories->languages()) {
    std::map<std::string, std::set<std::string>> wordings;  // without names and values, of one story
    for (int i = 0; i < 1500; ++i) {
      const auto item = stories->make(lang, rng);
      ASSERT_TRUE(item.ok()) << item.error().message;
      EXPECT_EQ(item->question.find_first_of("{}\x01\x02"), std::string::npos) << item->question;
      ASSERT_TRUE(work_out(*item).ok()) << item->question;
      wordings[item->template_id].insert(std::regex_replace(item->question, std::regex("[0-9]+"), "#"));
    }
    for (const auto& [id, found] : wordings) EXPECT_GE(found.size(), 30u) << id << " " << lang;
  }
}

}  // namespace
}  // namespace hadal
