// Which question is asked next: sources by the recipe's weights, less of what is too easy or hopeless.
//
// A source's weight is the recipe's times 4 p (1 - p), p its measured accuracy and a tenth the least, because a group
// of answers teaches by its differences. Sources are tasks, or languages of one. Within a source the same holds for
// levels of difficulty, told apart by the length of the question: more terms and longer numbers make it longer in every
// task. What is drawn is a pure function of the seed and CurriculumState, which is all that a resumed run needs. One
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "trainer/data_source.h"
#include "trainer/example.h"

namespace hadal {

struct CurriculumState {
  std::vector<std::uint64_t> drawn;   // a source: how many of its items were taken
  std::vector<std::uint64_t> judged;  // a source: how many of its groups
  std::vector<double> accuracy;       // a source: of its last groups, smoothed
  // The same by [source * kQuestionLevels + level].
  std::vector<std::uint64_t> level_judged;
  std::vector<double> level_accuracy;
};

inline constexpr std::size_t kQuestionLevels = 16;
// Of a question whose prompt has so many tokens.
std::size_t question_level(std::size_t prompt_tokens);

struct AskedQuestion {
  std::size_t source = 0, level = 0;
  TaskItem item;
  std::vector<TokenId> prompt;
};

class QuestionPool {
 public:
  // `sources` (null: absent) and `encoder` outlive the pool. `weights` by source; `adaptive`: by measured accuracy too.
  QuestionPool(std::span<const std::unique_ptr<DataSource>> sources, const ExampleEncoder& encoder,
               std::vector<double> weights, bool adaptive, int max_prompt_tokens, std::uint64_t seed)
      : sources_(sources),
        encoder_(encoder),
        weights_(std::move(weights)),
        adaptive_(adaptive),
        max_prompt_tokens_(max_prompt_tokens),
        seed_(seed) {}

  // Error: a source that holds no question that fits.
  Result<AskedQuestion> next(CurriculumState& state) const;
  // After a group of answers to a question of next().
  static void record(const AskedQuestion& question, double share_right, CurriculumState& state);

  // What next() goes by, with a sum of 1.
  std::vector<double> weights(const CurriculumState& state) const;

 private:
  std::span<const std::unique_ptr<DataSource>> sources_;
  const ExampleEncoder& encoder_;
  std::vector<double> weights_;
  bool adaptive_;
  int max_prompt_tokens_;
  std::uint64_t seed_;
};

}  // namespace hadal
