// Pages of a notebook: sums, equations and counts worked out as plain text, under a heading, as in a book's margin.
//
// What a base model reads of arithmetic before it has ever been asked anything: the methods of eight tasks, in other
// words than the tasks ask with and without the form of an answer, so that reinforcement alone has to find out that a
// question wants them (recipes/zero-base.toml).
// Threads: pure functions; an Rng belongs to one thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/rng.h"
#include "trainer/tasks/task_item.h"

namespace hadal {

// The tasks whose methods a notebook has.
std::span<const std::string_view> notebook_tasks();

struct Note {
  std::string heading;  // "Greatest common divisor of 358 and 264\n"
  std::string worked;   // the steps of work_out() and a closing line: "358-264:490=94\n..\nIt is 2.\n"
};

// `item`: one of notebook_tasks(). The wording is drawn. Error: an item that work_out() cannot read.
Result<Note> make_note(const TaskItem& item, Rng& rng);

}  // namespace hadal
