// What is held out: the first questions of some task files, pieces of some texts, and the mean negative log-likelihood
// of a target over them (of questions, reasoning and answer are targets; of text, every token).
//
// The loss says whether learning goes on, not how many answers are right. One thread at a time.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/example.h"
#include "trainer/tasks/question_filter.h"
#include "trainer/tasks/task_item.h"
#include "trainer/training_model.h"

namespace hadal {

// What a file is called in metrics and reports: its name up to the first point.
std::string held_out_name(const std::filesystem::path& file);

class HeldOut {
 public:
  struct File {
    std::string name;
    std::vector<TaskItem> items;
  };

  // `items` of each file that is there. Of a task file (.jsonl, .jsonl.gz) the first ones that can be judged, the loss
  // being taken of those whose steps can be worked out and that are at most max_tokens long; of any other, which is
  // UTF-8 text, pieces of max_tokens, evenly spread.
  static Result<HeldOut> open(std::span<const std::filesystem::path> files, int items, int max_tokens,
                              const ExampleEncoder& encoder);

  const std::vector<File>& files() const { return files_; }  // those that have questions
  const std::vector<std::filesystem::path>& absent() const { return absent_; }

  // Mean loss a target, by the file's name.
  std::map<std::string, double> losses(TrainingModel& model) const;

 private:
  std::vector<File> files_;
  std::vector<std::filesystem::path> absent_;
  std::map<std::string, std::vector<TrainingBatch>> batches_;
};

// What must not be trained on: the questions of `list` (trainer/tasks/question_filter.h; may be empty) and every one of
// the task files among `files` that are there.
Result<QuestionFilter> held_out_questions(const std::filesystem::path& list,
                                          std::span<const std::filesystem::path> files);

double mean_of(const std::map<std::string, double>& losses);

}  // namespace hadal
