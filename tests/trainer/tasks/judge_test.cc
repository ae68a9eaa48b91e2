// The reward rules, held against the package's verdicts (score_cases.jsonl), against every sentence of the rules,
// and against hostile answers.
#include "trainer/tasks/judge.h"

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/rng.h"
#include "trainer/tasks/task_item.h"

namespace hadal {
namespace {

using nlohmann::json;

const json kFraction = {{"simplified_numerator", 5}, {"simplified_denominator", 8}};
const json kCountdown = {{"numbers", {3, 1, 28}}, {"target", 31}};
const json kAscending = {{"direction", "ascending"}};
const json kDescending = {{"direction", "descending"}};
constexpr const char* kSorted = "['-53.3', '9.0']";
constexpr const char* kRoles = "Mason is an egoist, and Sofia is an altruist.";

struct Case {
  std::string task, answer;
  json meta;
  std::vector<std::string> right, wrong;
};

void expect_verdicts(const Case& c) {
  for (const bool want : {true, false}) {
    for (const std::string& given : want ? c.right : c.wrong) {
      const Result<bool> verdict = judge(c.task, given, c.answer, c.meta);
      ASSERT_TRUE(verdict.ok()) << c.task << ": " << verdict.error().message;
      EXPECT_EQ(*verdict, want) << c.task << ": answer " << c.answer << ", given \"" << given << "\"";
    }
  }
}

TEST(Judge, AgreesWithEveryScoreCase) {
  const auto items = read_task_file(HADAL_TASKS "/score_cases.jsonl");
  ASSERT_TRUE(items.ok()) << items.error().message;
  std::map<std::string, int> seen;
  for (const TaskItem& item : *items) {
    ASSERT_TRUE(item.answer_given && item.right);
    const Result<bool> verdict = judge(item.task, *item.answer_given, item.answer, item.meta);
    ASSERT_TRUE(verdict.ok()) << verdict.error().message;
    EXPECT_EQ(*verdict, *item.right) << item.task << ": " << item.answer << " given: " << *item.answer_given;
    ++seen[item.task];
  }
  EXPECT_EQ(seen.size(), 20u);
}

TEST(Judge, ExactForgivesOnlyWhiteSpaceAtTheEnds) {
  expect_verdicts({"gcd", "8", {}, {"8", " 8\n", "\t8\r\n"}, {"+8", "08", "8.0", "8.", "x = 8", "", " \n", "8 8"}});
  expect_verdicts({"lcm", "1260", {}, {"1260"}, {"1,260", "126"}});
  expect_verdicts({"base_conversion", "2e5", {}, {"2e5"}, {"0x2e5", "2E5", "2 e 5"}});
}

TEST(Judge, NumberComparesExactDecimals) {
  expect_verdicts(
      {"chain_sum",
       "8",
       {},
       {"8", "+8", "008", "8.", "8.00", "8e0", "8,", ",8", "80e-1", ".8e1", "8E+0", "0.00000000000000000000008e23"},
       {"8 units",
        "= 8",
        "$8",
        "(8)",
        "--8",
        "16/2",
        "8 8",
        "8..",
        ".",
        "",
        "e0",
        "8e",
        "8e+",
        "8 .",
        "1_0",
        "8.000000000000000000000000000001",
        "-8",
        "\xd9\xa8",
        "0x8",
        "inf",
        "nan",
        "8e999999999",
        "8e-99999999999999999999999"}});
  expect_verdicts({"products",
                   "-6637",
                   {},
                   {"-6,637", "-6637.0", "-,6,6,3,7"},
                   {"6637",
                    "\xe2\x88\x92"
                    "6637"}});
  expect_verdicts({"chain_sum", "0", {}, {"0", "-0", "+0.0", "0e99999999999999999999", "00"}, {"", ",", "-", "0 0"}});
  expect_verdicts({"word_problems", "124", {}, {"124", "124.0"}, {"124 dollars"}});
}

TEST(Judge, CaselessForgivesNothingButCase) {
  expect_verdicts({"spell_backward", "asamohT", {}, {"asamoht", "ASAMOHT"}, {"asamoh", "asa moht", "\"asamoht\""}});
  expect_verdicts({"family_relationships", "son", {}, {"Son", "SON"}, {"\"son\"", "son.", "the son", "sons"}});
}

TEST(Judge, PrimesMayStandInAnyOrder) {
  expect_verdicts({"prime_factorization",
                   "2 × 2 × 5",
                   {},
                   {"2×2×5 ×", "5 × 2 × 2", "×2××2×5", "+2 × 02 × 5", "2\n×\n2 × 5"},
                   {"2 × 10", "20", "1 × 2 × 2 × 5", "2 x 2 x 5", "2 * 2 * 5", "2, 2, 5", "×", "2 × 5", "-2 × -2 × 5",
                    "2 × 2 × 5.0", "2 2 × 5", "2 × 2 × 99999999999999999999999999"}});
}

TEST(Judge, FractionMustBeReducedButMayChangeItsNotation) {
  expect_verdicts({"fraction_simplification",
                   "$\\frac{5}{8}$",
                   kFraction,
                   {"5/8", "$5/8$", "$$ 5 / 8 $$", "05/+8", "\\frac{5}{8}", "\\dfrac{5}{8} or so", "\\FRAC {5}{ 8 }",
                    "$\\dFrac{05}\n{8}$$x", "\\frac{5}{8}/2"},
                   {"10/16",
                    "\\tfrac{5}{8}",
                    "5:8",
                    "(5/8)",
                    "5/8/1",
                    "5/8.",
                    "-5/-8",
                    "0.625",
                    "8/5",
                    "\\frac{5}{+8}",
                    "\\frac 5 8",
                    "$",
                    "x\\frac{5}{8}",
                    "5/",
                    "/8",
                    "\\frac{5}{}",
                    "\\frac{-5}{-8}",
                    "5/99999999999999999999999999999",
                    "\\frac{5}{8",
                    "$ $5/8"}});
}

TEST(Judge, FirstNumberFollowsTheRegularExpression) {
  expect_verdicts({"gsm_symbolic",
                   "25",
                   {},
                   {"It is 25", "$25", "25.00", "25 of 99", "-25", "25.", "a25 25", "25kg 25", "(25)", "25-3", "--25",
                    "é25", "25.0.1"},
                   {"x-25", "25kg", "1,225", "25e0", "26", "_25", "25_", "2 5", "no", "25.5", "0.25"}});
  expect_verdicts({"gsm_symbolic", "3", {}, {"3.5kg", "3.x", "03"}, {"3.5"}});
  expect_verdicts({"gsm_symbolic", "1687.5", {}, {"1687.50 m"}, {"1,687.5", "1687", "1687.5m"}});
  expect_verdicts({"gsm_symbolic", "1", {}, {"1,214"}, {}});
}

TEST(Judge, SortedListMayDifferByOneButMustBeInOrder) {
  expect_verdicts({"number_sorting",
                   kSorted,
                   kAscending,
                   {"['-53', '9']", "[-53.3, 9.0]", "[\"-53.30\", \"9\"]", "[\" -53.3 \", '+9e0']", "[-54.3,10]",
                    "[ -53.3 ,\n 9 ]", "[\"-5\\u0033\", 9]"},
                   {"-53.3, 9.0",
                    "('-53.3', '9.0')",
                    "['-53.3', '9.0'] ok",
                    "['9.0', '-53.3']",
                    "['-53.3']",
                    "['-53.3', '9.0', '10']",
                    "['-53.3', '10.1']",
                    "[['-53.3'], '9.0']",
                    "['-53.3', 'nine']",
                    "[]",
                    "[",
                    "['-53.3' '9.0']",
                    "['-53.3', '9.0',]",
                    "[-53.3, +9]",
                    "[-53.3, 09]",
                    "[-53.3, null]",
                    "[-53.3, NaN]",
                    "['-53.3', '9.']",
                    "['-53.3', '']",
                    "[-53.3, 1e999]",
                    "['-53.3', '9_0']",
                    "\xef\xbb\xbf['-53.3', '9.0']"}});
  expect_verdicts({"number_sorting", "['9.0', '8.5']", kDescending, {"[9, 9]", "[9, 8.5]"}, {"[8.5, 9.0]"}});
}

TEST(Judge, CountdownEvaluatesExactly) {
  expect_verdicts({"countdown",
                   "3*1 + 28",
                   kCountdown,
                   {"3*1 + 28", "28+3*1", "((28))+(3)*1", "-(-28-3)*1", "+28 - -3/1", "28*1+3", "3/1+28", "28/1+3"},
                   {"3/(1/1*1)+28", "28-3*-1*1", "28-(3*1)"}});
}

TEST(Judge, CountdownRefusesWhatIsNoExpressionOfTheNumbers) {
  expect_verdicts(
      {"countdown",
       "3*1 + 28",
       kCountdown,
       {},
       {"3*1 + 28 = 31", "3×1+28",  "28 + 3",     "3*1+28+0", "3*1*1+28", "03*1+28", "3*1+28)",      "((3*1+28)",
        "3**1+28",       "3//1+28", "28 3 1",     "()",       "",         "3*1+",    "*3+28",        "3(1)+28",
        "3*1.0+28",      "31",      "28+3/(1-1)", "3\n*1+28", "28+3^1",   "28+3!",   "sqrt(1)*3+28", "30+1"}});
  const json halves = {{"numbers", {2, 3, 4, 6}}, {"target", 9}};
  expect_verdicts(
      {"countdown", "3*4*6/2/4", halves, {"6*3/4*2", "2*3/4*6", "6/(4/(3*2))"}, {"6*3/4*2.0", "3/4*2*6+0"}});
  const json zero = {{"numbers", {0, 5}}, {"target", 5}};
  expect_verdicts({"countdown", "0 + 5", zero, {"0+5", "5-0"}, {"5/0", "5+00"}});
}

TEST(Judge, DurationIsReadInAnyUnits) {
  expect_verdicts({"time_intervals",
                   "07:00",
                   {},
                   {"7:0", "07:00:00", "6:60", " 7 : 00", "+7:0", "8:-60", "7:0:0.000", "7:00:00:99", "7:0:0:x"},
                   {"7", "07:00:", "1h7", "420", "07.00", "seven:00", "7:00.0", "7:0:0.5", "7:0:.0", "7:0:0.",
                    "7:0:0.0.0", "7:", ":0", "7:1", "7:0:1", "07:00 h", "99999999999999999999:0"}});
  expect_verdicts({"time_intervals", "00:40:24", {}, {"0:40:24", "0:39:84.0", "0:0:2424"}, {"00:40", "0:40:24.5"}});
}

TEST(Judge, RolesAreASetOfPairs) {
  expect_verdicts(
      {"knights_knaves",
       kRoles,
       {},
       {"Sofia is an altruist and Mason is an egoist", "mason egoist (sofia altruist)",
        "The answer is "
        "Mason egoist, Sofia altruist",
        "Mason is an egoist, Sofia is an altruist. Mason is an egoist.", "MASON a EGOIST and SOFIA an ALTRUIST"},
       {"Mason is an egoist", "Mason: an egoist, Sofia: an altruist", "Mason egoist; Sofia altruist",
        "Mason is an egoist, and Sofia is an egoist", "Masons egoists", "Mason is a liar, Sofia is an altruist",
        "Mason is an egoist, Sofia is an altruist, John is a fool", "egoist altruist", "",
        "egoist Mason, altruist Sofia"}});
}

TEST(Judge, ABrokenItemIsAnErrorAndNotAVerdict) {
  EXPECT_FALSE(judge("no_such_task", "1", "1", {}).ok());
  EXPECT_FALSE(judge("countdown", "1", "1", {}).ok());
  EXPECT_FALSE(judge("countdown", "1", "1", json{{"numbers", {"1"}}, {"target", 1}}).ok());
  EXPECT_FALSE(judge("number_sorting", "[1]", "[1]", json{{"direction", "up"}}).ok());
  EXPECT_FALSE(judge("fraction_simplification", "1/2", "1/2", json{{"numerator", 1}}).ok());
  EXPECT_FALSE(judge("chain_sum", "1", "one", {}).ok());
}

// The item that each rule is shown in the tests below.
std::vector<Case> one_case_a_rule() {
  return {{"gcd", "8", {}, {}, {}},
          {"chain_sum", "8", {}, {}, {}},
          {"spell_backward", "abc", {}, {}, {}},
          {"prime_factorization", "2 × 3", {}, {}, {}},
          {"fraction_simplification", "5/8", kFraction, {}, {}},
          {"gsm_symbolic", "25", {}, {}, {}},
          {"number_sorting", kSorted, kAscending, {}, {}},
          {"countdown", "3*1 + 28", kCountdown, {}, {}},
          {"time_intervals", "07:00", {}, {}, {}},
          {"knights_knaves", kRoles, {}, {}, {}}};
}

std::string repeated(std::string_view unit, std::size_t bytes) {
  std::string text;
  text.reserve(bytes + unit.size());
  while (text.size() < bytes) text += unit;
  return text;
}

TEST(Judge, LongAnswersOfAnythingAreWrongAndQuick) {
  constexpr std::size_t kBytes = 1 << 18;
  const std::vector<std::string> units = {"(", "-(", "[",    "['", "9",    "9,",    "0",         ".",
                                          "-", "1-", "1 × ", "1:", "and ", " and ", "a knight ", "\\frac{",
                                          "{", "/",  "$",    "e9", "1.1",  "_1",    "\xff",      "{\"a\":"};
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& unit : units) {
    const std::string given = repeated(unit, kBytes);
    for (const Case& c : one_case_a_rule()) {
      const Result<bool> verdict = judge(c.task, given, c.answer, c.meta);
      ASSERT_TRUE(verdict.ok()) << c.task;
      EXPECT_FALSE(*verdict) << c.task << " " << unit;
    }
  }
  // Measured 0.1 s for the 60 megabytes on an idle core; one quadratic rule would take an hour.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST(Judge, DeepParenthesesStillCount) {
  const std::string deep = std::string(100'000, '(') + "3*1+28" + std::string(100'000, ')');
  EXPECT_TRUE(*judge("countdown", deep, "", kCountdown));
  // -2^127 fits 128 bits and has no negative there.
  EXPECT_FALSE(*judge("countdown", "-576460752303423488*576460752303423488*512", "", kCountdown));
  EXPECT_FALSE(*judge("countdown", deep + ")", "", kCountdown));
}

TEST(Judge, SurvivesRandomBytes) {
  Rng rng(7);
  const std::string alphabet = "0123456789+-*/()[]{}'\",.:$\\ eEfracd×isan Mason egoist\n\t_";
  for (int round = 0; round < 20'000; ++round) {
    std::string given;
    const std::uint64_t length = rng.next_below(24);
    for (std::uint64_t i = 0; i < length; ++i) {
      given +=
          rng.next_below(8) == 0 ? static_cast<char>(rng.next_below(256)) : alphabet[rng.next_below(alphabet.size())];
    }
    for (const Case& c : one_case_a_rule()) ASSERT_TRUE(judge(c.task, given, c.answer, c.meta).ok());
  }
}

}  // namespace
}  // namespace hadal
