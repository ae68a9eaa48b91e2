// One question with its checkable answer, and the reader of the JSONL and JSONL.gz files that hold them.
//
// The reader streams: a file of any length costs one line of memory. It checks the form of a line, not whether the
// answer is right (judge.h) nor whether the question may be trained on (question_filter.h).
// Threads: a reader belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "trainer/tasks/line_reader.h"

namespace hadal {

struct TaskItem {
  std::string task;         // "gcd", "word_problems", ..
  std::string lang = "en";  // word problems name it; the reasoning-gym tasks are English
  std::string question;
  std::string answer;                       // one right answer; judge() says which others are
  nlohmann::json meta;                      // null where the task has none
  std::vector<std::string> steps;           // word problems: "12*3=36"
  std::string template_id;                  // word problems
  std::optional<std::string> answer_given;  // only in files of answers to be judged
  std::optional<bool> right;                // a verdict on answer_given, where the file has one
};

// Reads one line of a task file; `where` ("gcd.jsonl:12") opens the message of an error.
Result<TaskItem> parse_task_item(std::string_view line, std::string_view where);

// The line of a task file for `item` (without the line break), fields in the files' own order.
std::string write_task_item(const TaskItem& item);

class TaskReader {
 public:
  static Result<TaskReader> open(const std::string& path);

  // The next item, or nothing at the end of the file. After an error the reader is spent.
  Result<std::optional<TaskItem>> next();
  // The text of the line that next() gave last, for writers that extend it.
  const std::string& line() const { return lines_.line(); }
  std::int64_t line_number() const { return lines_.line_number(); }  // from 1

 private:
  explicit TaskReader(LineReader lines) : lines_(std::move(lines)) {}
  LineReader lines_;
};

// All items of a file, `limit` of them at most.
Result<std::vector<TaskItem>> read_task_file(const std::string& path, std::size_t limit = SIZE_MAX);

}  // namespace hadal
