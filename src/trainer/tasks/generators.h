// Native generators: questions in the wording and the distribution of the reasoning-gym files, without the files.
//
// They let a recipe train where the files are absent, and never repeat. Three judged tasks have none here: gsm_symbolic
// (its stories are the package's), knights_knaves (only about 400 pairs of statements exist, so a generator would meet
// the held-out ones) and word_problems (story_templates.h makes those). number_sequence starts beyond the files' range,
// for the same reason as the second.
// Questions of the development files can come up by chance in the small tasks: pass each item through a
// QuestionFilter before training on it.
// Threads: pure functions; an Rng belongs to one thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "trainer/tasks/task_item.h"

namespace hadal {

// The tasks that make_task() knows.
std::span<const std::string_view> generated_tasks();

// The words that letter_counting and spell_backward draw from, one a line: recipes/data/words.txt.
Result<std::vector<std::string>> load_words(const std::string& path);

// One question with answer and meta. `words` may be empty for the tasks that draw none. Errors: unsupported for a task
// without a generator, invalid for missing words.
Result<TaskItem> make_task(std::string_view task, std::span<const std::string> words, Rng& rng);

}  // namespace hadal
