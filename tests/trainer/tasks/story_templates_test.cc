// Word problems from templates: the split of the values, and that what is drawn reads like the given files.
#include "trainer/tasks/story_templates.h"
#include "base/hash.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "trainer/tasks/judge.h"
#include "trainer/tasks/story_labels.h"
#include "trainer/tasks/worked_steps.h"

namespace hadal {
namespace {

const std::string kPath = HADAL_TASKS "/word_problems/templates.json";
const std::string kRecipePath = HADAL_SOURCE_DIR "/recipes/data/word_problems.json";

StoryTemplates templates(const std::string& path = kPath) {
  auto loaded = StoryTemplates::load(path);
  EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.error().message);
  return *std::move(loaded);
}

// The text with its numbers taken out, and with them the order in which the values stand.
std::string without_numbers(const std::string& text) {
  return std::regex_replace(text, std::regex("[0-9]+"), "#");
}

TEST(StorySplit, HasTheReadmesCheckValue) {
  EXPECT_EQ(fnv1a("buy_total|12,3"), 0xef843d043aa915b8u);
  EXPECT_EQ(story_split("buy_total", {12, 3}), 8);
}

// The variables that a phrasing states, without the words it is filled with.
std::set<std::string> stated_values(const std::string& text) {
  static const std::regex slot("\\{([a-z])\\}");
  std::set<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), slot), end; at != end; ++at) found.insert((*at)[1]);
  return found;
}

// For templates whose variables all stand in the text in an order known from the English steps, the values can be read
// back from a line's steps.
TEST(StorySplit, EveryDevelopmentLineHasEightAndEveryTrainingLineLess) {
  for (const auto& [file, development] : {std::pair{"en.dev.jsonl", true}, std::pair{"ja.train.jsonl.gz", false}}) {
    const auto items = read_task_file(std::string(HADAL_TASKS "/word_problems/") + file, 4000);
    ASSERT_TRUE(items.ok()) << items.error().message;
    int checked = 0;
    for (const TaskItem& item : *items) {
      std::vector<std::int64_t> numbers;
      const std::string step = item.steps.at(0);
      const std::size_t at = step.find_first_of("*+/-");
      const std::int64_t x = std::stoll(step);
      const std::int64_t y = std::stoll(step.substr(at + 1));
      if (item.template_id == "buy_total" || item.template_id == "speed_distance" ||
          item.template_id == "compare_times") {
        numbers = {x, y};
      } else if (item.template_id == "share_equal" || item.template_id == "speed_time") {
        numbers = {y, x / y};
      } else if (item.template_id == "discount" || item.template_id == "percent_of" ||
                 item.template_id == "perimeter") {
        numbers = {x, y};
      } else {
        continue;
      }
      EXPECT_EQ(story_split(item.template_id, numbers) == 8, development) << item.question;
      EXPECT_LT(story_split(item.template_id, numbers), development ? 9 : kTrainingSplits) << item.question;
      ++checked;
    }
    EXPECT_GT(checked, 30) << file;
  }
}

TEST(StoryTemplates, DrawnProblemsAreWorkedAndJudgedRight) {
  for (const std::string& path : {kPath, kRecipePath}) {
    const StoryTemplates stories = templates(path);
    EXPECT_EQ(stories.size(), 24u);
    EXPECT_EQ(stories.languages().size(), 8u);
    Rng rng(3);
    for (const std::string& lang : stories.languages()) {
      for (int i = 0; i < 600; ++i) {
        const auto item = stories.make(lang, rng);
        ASSERT_TRUE(item.ok()) << item.error().message;
        EXPECT_EQ(item->question.find_first_of("{}"), std::string::npos) << item->question;
        const auto worked = work_out(*item);
        ASSERT_TRUE(worked.ok()) << worked.error().message;
        EXPECT_TRUE(*judge(item->task, worked->answer, item->answer, item->meta)) << item->question;
        for (std::size_t s = 0; s < item->steps.size(); ++s) {
          EXPECT_FALSE(steps::story_label(item->template_id, s, lang).empty()) << item->template_id << " " << s;
        }
      }
    }
  }
}

// A recipe trains on more wordings, names and things than the given ones. Everything else has to stay as given, since
// the values that are kept back for judging are told apart by a template's id and variables.
TEST(StoryTemplates, TheRecipesFileOnlyAddsWordsAndPhrasingsThatStateTheSameValues) {
  EXPECT_NE(stated_values("{name1} pays {a} for {b} {obj1:gen}"), stated_values("{name1} pays {a} for {obj1:gen}"));
  const auto cut = [](nlohmann::json& list, const nlohmann::json& as) {
    EXPECT_EQ(std::set<nlohmann::json>(list.begin(), list.end()).size(), list.size()) << "one stands twice";
    while (list.size() > as.size()) list.erase(list.size() - 1);
  };
  const auto given = nlohmann::json::parse(std::ifstream(kPath));
  auto recipe = nlohmann::json::parse(std::ifstream(kRecipePath));
  ASSERT_EQ(recipe.at("templates").size(), given.at("templates").size());
  for (std::size_t t = 0; t < given.at("templates").size(); ++t) {
    const auto& given_texts = given["templates"][t].at("text");
    for (auto& [lang, phrasings] : recipe["templates"][t].at("text").items()) {
      const std::string where = given["templates"][t].at("id").get<std::string>() + " " + lang;
      const auto texts = phrasings.get<std::vector<std::string>>();
      EXPECT_GE(texts.size(), 70u) << where;
      const auto expected = stated_values(given_texts.at(lang).at(0).get<std::string>());
      EXPECT_FALSE(expected.empty()) << where;
      for (const std::string& text : texts) EXPECT_EQ(stated_values(text), expected) << where << ": " << text;
      cut(phrasings, given_texts.at(lang));
    }
  }
  for (const char* words : {"names", "objects"})
    for (auto& [lang, list] : recipe.at(words).items()) cut(list, given.at(words).at(lang));
  EXPECT_TRUE(recipe == given) << "without the added words and phrasings the files differ";
}

TEST(StoryTemplates, DrawnProblemsHaveTheWordingOfTheFiles) {
  const StoryTemplates stories = templates();
  std::set<std::string> known;
  const auto items = read_task_file(HADAL_TASKS "/word_problems/en.train.jsonl.gz", 3000);
  ASSERT_TRUE(items.ok());
  const std::regex word(
      "Anna|Ben|Clara|David|Emma|Frank|Grace|Henry|Julia|Kevin|Laura|Mark|Nina|Oscar|Paula|Robert|"
      "Sarah|Tom|Victor|Wendy|apples|oranges|balls|balloons|cups|toys|buns|eggs|buttons|marbles|"
      "lemons|peaches");
  const auto shape = [&word](const std::string& question) {
    return std::regex_replace(without_numbers(question), word, "W");
  };
  for (const TaskItem& item : *items) known.insert(item.template_id + shape(item.question));
  Rng rng(4);
  for (int i = 0; i < 300; ++i) {
    const auto item = stories.make("en", rng);
    ASSERT_TRUE(item.ok());
    EXPECT_TRUE(known.contains(item->template_id + shape(item->question))) << item->question;
  }
}

TEST(StoryTemplates, TheSameSeedDrawsTheSameProblem) {
  const StoryTemplates stories = templates();
  Rng one(5);
  Rng other(5);
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(write_task_item(*stories.make("ru", one)), write_task_item(*stories.make("ru", other)));
}

TEST(TemplateExpression, FollowsCsPrecedence) {
  const std::map<std::string, std::int64_t, std::less<>> values = {{"a", 7}, {"b", 3}};
  const auto value = [&values](const char* text) { return evaluate_template_expression(text, values); };
  EXPECT_EQ(*value("a + b*2"), 13);
  EXPECT_EQ(*value("a*b % 4 == 1"), 1);
  EXPECT_EQ(*value("a - b - 2"), 2);
  EXPECT_EQ(*value("(a - b) / 2"), 2);
  EXPECT_EQ(*value("3*b >= a + 2"), 1);
  EXPECT_EQ(*value("a < b != 1"), 1);
  for (const char* broken : {"", "a +", "a b", "(a", "c", "a / 0", "a ^ b", "9999999999*9999999999"}) {
    EXPECT_FALSE(value(broken).ok()) << broken;
  }
}

TEST(StoryTemplates, ABrokenFileIsOneClearError) {
  for (const char* broken : {"", "{}", "[]", R"({"version":2})", R"({"version":1,"languages":[],"templates":[]})",
                             R"({"version":1,"languages":["en"],"names":{},"objects":{},"templates":[]})"}) {
    const auto loaded = StoryTemplates::parse(broken, "t.json");
    ASSERT_FALSE(loaded.ok()) << broken;
    EXPECT_EQ(loaded.error().message.find("t.json"), 0u) << loaded.error().message;
  }
  EXPECT_EQ(StoryTemplates::load("/absent").error().kind, ErrorKind::not_found);
}

}  // namespace
}  // namespace hadal
