// Notes: of the eight tasks, right to the last line, in no task's own words.
#include "trainer/tasks/notebook.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "trainer/tasks/generators.h"
#include "trainer/tasks/worked_steps.h"

namespace hadal {
namespace {

const std::vector<std::string> kWords = {"lion", "Cat", "sea", "Archive", "owl", "whale"};

TEST(Notebook, EachNoteNamesItsSubjectWorksItOutAndEndsWithTheAnswer) {
  for (const std::string_view task : notebook_tasks()) {
    Rng rng(9);
    std::set<std::string> headings;
    for (int i = 0; i < 300; ++i) {
      const auto item = make_task(task, kWords, rng);
      ASSERT_TRUE(item.ok()) << item.error().message;
      const auto note = make_note(*item, rng);
      ASSERT_TRUE(note.ok()) << note.error().message;
      EXPECT_EQ(note->heading.find('\n'), note->heading.size() - 1) << note->heading;
      EXPECT_TRUE(note->worked.starts_with(work_out(*item)->reasoning + "\n")) << note->worked;
      const std::string last = note->worked.substr(note->worked.rfind('\n', note->worked.size() - 2) + 1);
      EXPECT_NE(last.find(" " + item->answer), std::string::npos) << last;
      EXPECT_EQ(note->heading.find(item->question), std::string::npos) << note->heading;
      headings.insert(note->heading.substr(0, 5));
    }
    EXPECT_GE(headings.size(), 3u) << task;
  }
}

TEST(Notebook, TheSubjectHoldsEveryNumberOfTheQuestion) {
  Rng rng(10);
  for (const std::string_view task : notebook_tasks()) {
    for (int i = 0; i < 50; ++i) {
      const auto item = make_task(task, kWords, rng);
      ASSERT_TRUE(item.ok());
      const std::string heading = make_note(*item, rng)->heading;
      std::string number;
      for (const char c : item->question + " ") {
        if (c >= '0' && c <= '9') {
          number += c;
        } else if (!number.empty()) {
          EXPECT_NE(heading.find(number), std::string::npos) << item->question << heading;
          number.clear();
        }
      }
    }
  }
}

}  // namespace
}  // namespace hadal
