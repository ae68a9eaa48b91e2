// Held-out questions: what is asked, what has a loss, and that none of them is trained on.
#include "trainer/held_out.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tiny.h"
#include "tiny_policy.h"

namespace hadal {
namespace {

constexpr const char* kGcd =
    R"({"task": "gcd", "question": "The GCD of 4 and 6?", "answer": "2", "meta": {"numbers": [4, 6]}})";
constexpr const char* kOtherGcd =
    R"({"task": "gcd", "question": "The GCD of 9 and 6?", "answer": "3", "meta": {"numbers": [9, 6]}})";
constexpr const char* kWithoutSteps =
    R"({"task": "word_problems", "question": "Three boats, two sink. How many are left?", "answer": "1"})";
constexpr const char* kUnjudged = R"({"task": "poetry", "question": "A rhyme?", "answer": "x"})";

std::filesystem::path file_of(const TemporaryFolder& folder, const char* name,
                              std::initializer_list<const char*> lines) {
  const std::filesystem::path path = folder.path() / name;
  std::ofstream out(path);
  for (const char* line : lines) out << line << "\n";
  return path;
}

// A grpo stage needs no steps: it asks, and compares answers.
TEST(HeldOut, QuestionsWithoutStepsAreAskedAndHaveNoLoss) {
  TemporaryFolder folder;
  const std::vector<std::filesystem::path> files{file_of(folder, "mixed.jsonl", {kGcd, kWithoutSteps, kUnjudged}),
                                                 file_of(folder, "bare.jsonl", {kWithoutSteps}),
                                                 file_of(folder, "poems.jsonl", {kUnjudged})};
  const auto held_out = HeldOut::open(files, 16, 400, *tiny_data().encoder);
  ASSERT_TRUE(held_out.ok()) << held_out.error().message;
  ASSERT_EQ(held_out->files().size(), 2u);  // nobody can judge the third's
  EXPECT_EQ(held_out->files()[0].items.size(), 2u);
  EXPECT_EQ(held_out->files()[1].items.size(), 1u);
  TinyPolicy tiny;
  const auto losses = held_out->losses(*tiny.model);
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_GT(losses.at("mixed"), 0);
}

TEST(HeldOut, EveryQuestionOfTheFilesIsHeldOutFromTraining) {
  TemporaryFolder folder;
  const std::filesystem::path list = file_of(folder, "list.txt", {"0123456789abcdef"});
  const std::vector<std::filesystem::path> files{file_of(folder, "gcd.jsonl", {kGcd, kOtherGcd}),
                                                 file_of(folder, "prose.txt", {"not a task file"}),
                                                 folder.path() / "absent.jsonl"};
  const auto filter = held_out_questions(list, files);
  ASSERT_TRUE(filter.ok()) << filter.error().message;
  EXPECT_EQ(filter->size(), 3u);
  for (const char* line : {kGcd, kOtherGcd}) EXPECT_TRUE(filter->is_held_out(*parse_task_item(line, "here"))) << line;
  EXPECT_FALSE(filter->is_held_out(*parse_task_item(kWithoutSteps, "here")));
  EXPECT_EQ(held_out_questions({}, {})->size(), 0u);
  EXPECT_FALSE(held_out_questions(folder.path(), {}).ok());  // a folder instead of a list
}

}  // namespace
}  // namespace hadal
