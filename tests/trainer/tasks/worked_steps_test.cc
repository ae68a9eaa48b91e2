// The worked steps: their answers are right by the judge, and what they state is true.
#include "trainer/tasks/worked_steps.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "trainer/tasks/judge.h"
#include "trainer/tasks/notation.h"
#include "trainer/tasks/task_item.h"

namespace hadal {
namespace {

const std::vector<std::string> kGym = {"chain_sum",
                                       "basic_arithmetic",
                                       "products",
                                       "gcd",
                                       "lcm",
                                       "prime_factorization",
                                       "fraction_simplification",
                                       "simple_equations",
                                       "leg_counting",
                                       "gsm_symbolic",
                                       "number_sequence",
                                       "number_sorting",
                                       "letter_counting",
                                       "spell_backward",
                                       "base_conversion",
                                       "countdown",
                                       "simple_geometry",
                                       "time_intervals",
                                       "family_relationships",
                                       "knights_knaves"};
const std::vector<std::string> kLanguages = {"en", "zh", "es", "fr", "de", "ja", "ru", "ar"};

// Checks every `a op b=c`, `a op b:scratch=c` and `a op b: statements =c` in a reasoning. Returns how many there were.
int check_statements(const std::string& reasoning) {
  static const std::regex kStatement(R"((-?\d+(?:\.\d+)?)([-+*/])(-?\d+(?:\.\d+)?)(=|:-?[0-9,]+=|:(?=\d+[*>])))");
  static const std::regex kValue(R"(^(-?\d+(?:\.\d+)?)(?:r(\d+))?)");
  int checked = 0;
  std::size_t begin = 0;
  while (begin <= reasoning.size()) {
    const std::size_t end = std::min(reasoning.find('\n', begin), reasoning.size());
    const std::string line = reasoning.substr(begin, end - begin);
    begin = end + 1;
    for (std::sregex_iterator it(line.begin(), line.end(), kStatement); it != std::sregex_iterator(); ++it) {
      const std::size_t after = static_cast<std::size_t>(it->position() + it->length());
      const bool nested = it->str(4) == ":";
      const std::string rest = line.substr(after);
      std::smatch value;
      const double a = std::stod(it->str(1));
      const double b = std::stod(it->str(3));
      const char op = it->str(2)[0];
      if (nested) {  // its result ends the last of its statements, after which the line may go on
        const auto whole = static_cast<std::int64_t>(op == '/' ? std::trunc(a / b) : a * b);
        EXPECT_NE((rest + " ").find("=" + std::to_string(whole)), std::string::npos) << it->str() << " in " << line;
        ++checked;
        continue;
      }
      if (!std::regex_search(rest, value, kValue)) {
        ADD_FAILURE() << "no value after " << it->str() << " in " << line;
        continue;
      }
      const double found = std::stod(value.str(1));
      const double rest_found = value[2].matched ? std::stod(value.str(2)) : 0;
      const double left = op == '/' ? b * found + rest_found : op == '+' ? a + b : op == '-' ? a - b : a * b;
      const double right = op == '/' ? a : found;
      EXPECT_NEAR(left, right, 1e-6 * std::max(1.0, std::abs(right))) << it->str() << " in " << line;
      ++checked;
    }
  }
  return checked;
}

struct Length {
  double sum = 0;
  std::size_t max = 0;
  int n = 0;
};

void expect_right(const TaskItem& item, Length* length) {
  const Result<WorkedExample> worked = work_out(item);
  if (!worked.ok()) {
    ASSERT_EQ(worked.error().kind, ErrorKind::unsupported) << worked.error().message;
    return;
  }
  const Result<bool> right = judge(item.task, worked->answer, item.answer, item.meta);
  ASSERT_TRUE(right.ok()) << right.error().message;
  EXPECT_TRUE(*right) << item.question << "\n" << worked->reasoning << "\n" << worked->answer << " != " << item.answer;
  check_statements(worked->reasoning);
  length->sum += static_cast<double>(worked->reasoning.size());
  length->max = std::max(length->max, worked->reasoning.size());
  ++length->n;
}

// HADAL_TASKS_SAMPLE widens the sample to whole files.
std::size_t sample_size(std::size_t usual) {
  const char* wide = std::getenv("HADAL_TASKS_SAMPLE");
  return wide != nullptr ? static_cast<std::size_t>(std::atol(wide)) : usual;
}

TEST(WorkedSteps, EveryGymAnswerIsRightAndEveryStatementTrue) {
  for (const std::string& task : kGym) {
    const auto items = read_task_file(HADAL_TASKS "/reasoning_gym/" + task + ".train.jsonl.gz", sample_size(300));
    ASSERT_TRUE(items.ok()) << items.error().message;
    Length length;
    for (const TaskItem& item : *items) expect_right(item, &length);
    std::printf("%-24s mean %6.1f max %4zu characters, %d of %zu worked\n", task.c_str(), length.sum / length.n,
                length.max, length.n, items->size());
    const std::size_t percent = task == "gsm_symbolic" ? 80 : task == "number_sequence" ? 96 : 100;  // 97.7 measured
    EXPECT_GE(length.n, static_cast<int>(items->size() * percent / 100)) << task;
  }
}

TEST(WorkedSteps, EveryWordProblemIsRightAndEveryStatementTrue) {
  for (const std::string& lang : kLanguages) {
    const auto items = read_task_file(HADAL_TASKS "/word_problems/" + lang + ".train.jsonl.gz", sample_size(200));
    ASSERT_TRUE(items.ok()) << items.error().message;
    Length length;
    for (const TaskItem& item : *items) expect_right(item, &length);
    std::printf("%-24s mean %6.1f max %4zu characters, %d of %zu worked\n", lang.c_str(), length.sum / length.n,
                length.max, length.n, items->size());
    EXPECT_EQ(length.n, static_cast<int>(items->size()));
  }
}

// What no file of ours holds, but a file of somebody else's may.
TEST(WorkedSteps, HostileItemsAreErrors) {
  using nlohmann::json;
  const auto expect_error = [](const std::string& task, const std::string& question, const json& meta) {
    TaskItem item;
    item.task = task;
    item.question = question;
    item.meta = meta;
    EXPECT_FALSE(work_out(item).ok()) << task << " " << meta.dump().substr(0, 80);
  };
  constexpr std::int64_t kHuge = 4'000'000'000'000'000'000;
  for (const std::string& task : kGym) {
    expect_error(task, "", {});
    expect_error(task, "what?", json::array());
    expect_error(task, "what?", {{"names", {{"a", 1}}}, {"numbers", 3}, {"legs", 2}, {"expression", 7}});
  }
  expect_error("gcd", "", {{"numbers", {kHuge, 3}}});
  expect_error("gcd", "", {{"numbers", {0, 3}}});
  expect_error("prime_factorization", "", {{"number", kHuge}});
  expect_error("fraction_simplification", "", {{"numerator", 1}, {"denominator", kHuge}});
  expect_error("simple_equations", "",
               {{"equation", "4000000000000000000*x + 9000000000000000000 = 1"}, {"variable", "x"}});
  expect_error("simple_equations", "", {{"equation", "0*x + 9 = 1"}, {"variable", "x"}});
  expect_error("leg_counting", "if you have 4000000000 dogs?", {{"legs", {{"dog", kHuge}}}});
  expect_error("number_sequence", "7, 99999, ?", {{"rule", "square then square then square then square"}});
  expect_error("countdown", "", {{"numbers", {kHuge, kHuge, kHuge}}, {"target", 3}});
  expect_error("simple_geometry", "", {{"known_angles", {1e300, 2.0}}});
  expect_error("chain_sum", "", {{"expression", "1 + (" + std::string(100'000, '(')}});
  expect_error("chain_sum", "", {{"expression", "1 / 0"}});
  std::string long_sum = "1";
  for (int i = 0; i < 100'000; ++i) long_sum += " + 1";
  expect_error("basic_arithmetic", "", {{"expression", long_sum}});
  expect_error("basic_arithmetic", "", {{"expression", "1 + (" + std::string(100'000, '(')}});
  expect_error("basic_arithmetic", "", {{"expression", "7 / 2"}});
  expect_error("basic_arithmetic", "", {{"expression", "999999999 * 999999999"}});
  json deep = {"lying", 0};
  for (int i = 0; i < 1000; ++i) deep = {"not", deep};
  expect_error("knights_knaves", "(Format your answer like: \"A is a sage/fool, and\")",
               {{"names", {"A", "B"}}, {"statements", {deep, deep}}});
  TaskItem story;
  story.task = "word_problems";
  for (const char* step : {"1+1=3", "4/0=1", "7/2=3", "9999999999*9999999999=1", "x", ""}) {
    story.steps = {step};
    EXPECT_FALSE(work_out(story).ok()) << step;
  }
}

TEST(Notation, WritesTheDocumentedForms) {
  EXPECT_EQ(add(47, 38).text, "47+38=85");
  EXPECT_EQ(add(363, 761).text, "363+761:4211=1124");
  EXPECT_EQ(subtract(824, 960).text, "824-960:-631=-136");
  EXPECT_EQ(subtract(160, 153).text, "160-153:700=7");
  EXPECT_EQ(add(11, -2).text, "11-2=9");
  EXPECT_EQ(multiply(7, -7).text, "7*-7=-49");
  EXPECT_EQ(multiply(537, 9).text, "537*9:63,33,48=4833");
  EXPECT_EQ(multiply(537, 900).text, "537*900:63,33,48=483300");
  EXPECT_EQ(multiply(47, 86).text, "47*86:47*80=3760 47*6=282 3760+282:2404=4042");
  EXPECT_EQ(divide(116, 4).text, "116/4:130=29");
  EXPECT_EQ(divide(56, 7).text, "56/7=8");
  EXPECT_EQ(divide(608, 15).text, "608/15:06,00,08=40r8");
  EXPECT_EQ(divide(924, 77).text, "924/77:92>1 92-77=15 154>2 77*2=154 =12");
  EXPECT_EQ(divide(11900, 100).text, "11900/100=119");
}

TEST(Notation, StatementsOfAllSizesAreTrue) {
  for (std::int64_t a : {0, 1, 7, 10, 19, 42, 99, 100, 305, 999, 1000, 4096, 80070}) {
    for (std::int64_t b : {1, 2, 9, 10, 13, 19, 20, 64, 100, 101, 990, 1234}) {
      for (const char op : {'+', '-', '*', '/'}) {
        const Statement statement = calculate(a, op, b);
        EXPECT_EQ(statement.value, op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b);
        EXPECT_GE(check_statements(statement.text), 1) << statement.text;
      }
      EXPECT_EQ(subtract(-a, b).value, -a - b);
      EXPECT_EQ(multiply(-a, b).value, -a * b);
      check_statements(subtract(-a, b).text);
      check_statements(multiply(-a, b).text);
    }
  }
}

}  // namespace
}  // namespace hadal
