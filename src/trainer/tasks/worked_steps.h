// The worked steps of a task: the text between <think> and </think>, and the answer.
//
// Deterministic, and short, because a training token is dear: each step copies something,
// looks up a small table or carries one digit (docs/worked_steps.md has the form of each
// task, notation.h that of the arithmetic). The steps are computed from the question and
// `meta`, never copied from a model; the answer they reach is right by judge().
// Threads: pure functions, any thread.
#pragma once

#include <string>

#include "base/result.h"
#include "trainer/tasks/task_item.h"

namespace hadal {

struct WorkedExample {
  std::string reasoning;  // lines joined by \n, none at the end; without the <think> tags
  std::string answer;
  // The answer is to be learned character by character (one token each), because the merged tokens of a word spelt
  // backward are learned by nobody.
  bool answer_by_letters = false;
};

// The steps for any of the 20 gym tasks and the word problems. An error names the item's field that cannot be read.
// A gsm_symbolic item whose worked solution holds no readable chain of equations is ErrorKind::unsupported: pass it
// over.
Result<WorkedExample> work_out(const TaskItem& item);

}  // namespace hadal
