// The native generators: right by the judge, worked like the files, in the files' wording, and none of the held-out
// questions gets past the filter.
#include "trainer/tasks/generators.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "trainer/tasks/judge.h"
#include "trainer/tasks/question_filter.h"
#include "trainer/tasks/worked_steps.h"

namespace hadal {
namespace {

std::vector<std::string> words() {
  auto loaded = load_words(HADAL_SOURCE_DIR "/recipes/data/words.txt");
  EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.error().message);
  return loaded.ok() ? *loaded : std::vector<std::string>();
}

TEST(Generators, EveryQuestionIsWorkedAndJudgedRight) {
  const std::vector<std::string> list = words();
  Rng rng(11);
  for (const std::string_view task : generated_tasks()) {
    int unexplained = 0;              // sequences whose rule a simpler one hides: nothing to learn from, and left out
    for (int i = 0; i < 2000; ++i) {  // one expression in hundreds has a quotient that only a later factor makes whole
      const auto item = make_task(task, list, rng);
      ASSERT_TRUE(item.ok()) << item.error().message;
      EXPECT_EQ(item->task, task);
      const auto worked = work_out(*item);
      if (task == "number_sequence" && !worked.ok() && worked.error().kind == ErrorKind::unsupported) {
        ++unexplained;
        continue;
      }
      ASSERT_TRUE(worked.ok()) << worked.error().message;
      EXPECT_TRUE(*judge(item->task, worked->answer, item->answer, item->meta))
          << item->question << "\n"
          << worked->reasoning << "\n"
          << worked->answer << " != " << item->answer;
      EXPECT_TRUE(*judge(item->task, item->answer, item->answer, item->meta)) << item->question;
    }
    EXPECT_LT(unexplained, 2000 / 20) << task;
  }
}

// A question with everything that varies taken out: digits, names, words after a colon.
std::string shape(const std::string& task, const std::string& question) {
  std::string text;
  for (const char c : question) {
    if (c >= '0' && c <= '9') {
      if (text.empty() || text.back() != '#') text += '#';
    } else {
      text += c;
    }
  }
  // Where lists, letters or stories vary, the beginning and the end tell the wording.
  static const std::set<std::string> kFree = {"basic_arithmetic", "chain_sum",       "leg_counting",
                                              "letter_counting",  "spell_backward",  "base_conversion",
                                              "simple_equations", "number_sequence", "family_relationships"};
  if (!kFree.contains(task)) return text;
  if (task == "family_relationships") return text.substr(text.rfind("? "));
  if (task == "number_sequence") return text.substr(text.size() - 3);
  return text.substr(0, 8);
}

TEST(Generators, UseTheWordingOfTheFiles) {
  const std::vector<std::string> list = words();
  Rng rng(12);
  for (const std::string_view view : generated_tasks()) {
    const std::string task(view);
    const auto items = read_task_file(HADAL_TASKS "/reasoning_gym/" + task + ".train.jsonl.gz", 1500);
    ASSERT_TRUE(items.ok()) << items.error().message;
    std::set<std::string> shapes;
    for (const TaskItem& item : *items) {
      // Signs stand before numbers anywhere in the sorted lists.
      std::string question = item.question;
      if (task == "number_sorting") std::erase(question, '-');
      shapes.insert(shape(task, question));
    }
    for (int i = 0; i < 60; ++i) {
      std::string question = make_task(task, list, rng)->question;
      if (task == "number_sorting") std::erase(question, '-');
      EXPECT_TRUE(shapes.contains(shape(task, question))) << task << ": " << question;
    }
  }
}

TEST(Generators, DependOnTheSeedAlone) {
  const std::vector<std::string> list = words();
  for (const std::string_view task : generated_tasks()) {
    Rng one(5);
    Rng other(5);
    EXPECT_EQ(write_task_item(*make_task(task, list, one)), write_task_item(*make_task(task, list, other)));
  }
}

TEST(Generators, RefuseWhatTheyCannotMake) {
  Rng rng(1);
  EXPECT_EQ(make_task("gsm_symbolic", {}, rng).error().kind, ErrorKind::unsupported);
  EXPECT_EQ(make_task("knights_knaves", {}, rng).error().kind, ErrorKind::unsupported);
  EXPECT_EQ(make_task("letter_counting", {}, rng).error().kind, ErrorKind::invalid);
  const std::vector<std::string> letterless = {"яблоко", "水"};
  const auto none = make_task("letter_counting", letterless, rng);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->answer, "0");
  EXPECT_EQ(load_words("/absent").error().kind, ErrorKind::not_found);
}

TEST(QuestionFilter, HoldsEveryDevelopmentQuestionAndNoTrainingOne) {
  const auto filter = QuestionFilter::load(HADAL_SOURCE_DIR "/recipes/data/held_out.txt");
  ASSERT_TRUE(filter.ok()) << filter.error().message;
  for (const std::string_view view : generated_tasks()) {
    const std::string path = HADAL_TASKS "/reasoning_gym/" + std::string(view);
    const auto dev = read_task_file(path + ".dev.jsonl");
    const auto train = read_task_file(path + ".train.jsonl.gz", 1000);
    ASSERT_TRUE(dev.ok() && train.ok());
    for (const TaskItem& item : *dev) EXPECT_TRUE(filter->is_held_out(item)) << item.task << item.question;
    for (const TaskItem& item : *train) EXPECT_FALSE(filter->is_held_out(item)) << item.task << item.question;
  }
}

TEST(QuestionFilter, AListWithoutHashesIsRefused) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "hadal_question_filter";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "empty.txt") << "# nothing yet\n";
  for (const std::filesystem::path& path : {folder, folder / "empty.txt"}) {
    const auto filter = QuestionFilter::load(path.string());
    ASSERT_FALSE(filter.ok()) << path;
    EXPECT_EQ(filter.error().message, path.string() + ": expected hashes of held-out questions, found none");
  }
  std::filesystem::remove_all(folder);
}

TEST(QuestionFilter, AnItemWithoutItsTasksFieldsIsItsQuestion) {
  TaskItem one, other;
  one.task = other.task = "chain_sum";
  one.question = "1 + 2 =";
  other.question = "3 + 4 =";
  QuestionFilter filter;
  filter.add(one);
  EXPECT_TRUE(filter.is_held_out(one));
  EXPECT_FALSE(filter.is_held_out(other));
}

TEST(QuestionFilter, AsksWhatIsAskedAndNotHow) {
  TaskItem one;
  one.task = "gcd";
  one.question = "first wording";
  one.meta = {{"numbers", {84, 98}}};
  TaskItem other = one;
  other.question = "second wording";
  other.meta = {{"numbers", {98, 84}}};
  QuestionFilter filter;
  EXPECT_FALSE(filter.is_held_out(one));
  filter.add(one);
  EXPECT_TRUE(filter.is_held_out(other));
  other.meta = {{"numbers", {98, 85}}};
  EXPECT_FALSE(filter.is_held_out(other));
  TaskItem equation;
  equation.task = "simple_equations";
  equation.meta = {{"equation", "3*x = 9"}, {"variable", "x"}};
  filter.add(equation);
  equation.meta = {{"equation", "3*k = 9"}, {"variable", "k"}};
  EXPECT_TRUE(filter.is_held_out(equation));
}

}  // namespace
}  // namespace hadal
