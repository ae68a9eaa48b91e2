// Where examples come from: task files, generators, plain text. Each is an endless stream with random access.
//
// The n-th text of a source is a pure function of (seed, n), so a run resumes from one number a source. Files are gone
// through whole, in a new order each time. Constant after opening: any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "trainer/example.h"
#include "trainer/recipe.h"
#include "trainer/tasks/question_filter.h"
#include "trainer/tasks/task_item.h"

namespace hadal {

class DataSource {
 public:
  virtual ~DataSource() = default;
  // Nothing: item n is held out or cannot be worked out, and is passed over.
  virtual Result<std::optional<SourceText>> text(std::uint64_t n) const = 0;
  // Item n as a question whose answer can be judged. Nothing: it is held out, or no question.
  virtual Result<std::optional<TaskItem>> question(std::uint64_t n) const = 0;
  // How many items until it repeats; 0: never.
  virtual std::uint64_t size() const = 0;

  const std::string& name() const { return name_; }

 private:
  friend Result<std::unique_ptr<DataSource>> open_source(const SourceRecipe& recipe, std::uint64_t seed,
                                                         const QuestionFilter& held_out);
  std::string name_;
};

// Null for a source that the recipe leaves out because its files are absent. Questions that `held_out` names are passed
// over (word problems from templates keep to the training share of the split besides); it must outlive the source.
Result<std::unique_ptr<DataSource>> open_source(const SourceRecipe& recipe, std::uint64_t seed,
                                                const QuestionFilter& held_out);

// A permutation of [0, size) by key, without a table: position -> element.
std::uint64_t permuted(std::uint64_t key, std::uint64_t size, std::uint64_t position);

}  // namespace hadal
