#include "trainer/reinforcement/question_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/rng.h"

namespace hadal {
namespace {

constexpr double kLeast = 0.1;              // of a source that is always or never right
constexpr std::uint64_t kTrustedAfter = 8;  // groups; before, a source counts fully
constexpr double kMemory = 1.0 / 32;        // weight of a group in the smoothed accuracy
constexpr int kMostPassedOver = 10000;
constexpr int kMostLeftOut = 16;  // questions of a level that teaches little, before one is taken all the same
constexpr std::size_t kLevelTokens = 8;

// How much a group teaches where a share p of the answers is right.
double lesson(std::uint64_t judged, double p) {
  return judged < kTrustedAfter ? 1 : std::max(kLeast, 4 * p * (1 - p));
}

void remember(double share_right, std::uint64_t& judged, double& accuracy) {
  accuracy += (share_right - accuracy) * std::max(kMemory, 1 / static_cast<double>(++judged));
}

}  // namespace

std::size_t question_level(std::size_t prompt_tokens) {
  return std::min(prompt_tokens / kLevelTokens, kQuestionLevels - 1);
}

std::vector<double> QuestionPool::weights(const CurriculumState& state) const {
  std::vector<double> weights = weights_;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (adaptive_ && i < state.judged.size()) weights[i] *= lesson(state.judged[i], state.accuracy[i]);
  }
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& w : weights) w /= sum;
  return weights;
}

Result<AskedQuestion> QuestionPool::next(CurriculumState& state) const {
  state.drawn.resize(sources_.size(), 0);
  state.judged.resize(sources_.size(), 0);
  state.accuracy.resize(sources_.size(), 0.5);
  state.level_judged.resize(sources_.size() * kQuestionLevels, 0);
  state.level_accuracy.resize(sources_.size() * kQuestionLevels, 0.5);
  const std::vector<double> shares = weights(state);
  const std::uint64_t asked = std::accumulate(state.drawn.begin(), state.drawn.end(), std::uint64_t{0});
  double left = Rng(seed_, asked).next_double();
  AskedQuestion question;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] <= 0) continue;
    question.source = i;
    if ((left -= shares[i]) < 0) break;
  }
  int left_out = 0;
  for (int tries = 0; tries < kMostPassedOver; ++tries) {
    const std::uint64_t number = state.drawn[question.source];
    HADAL_ASSIGN(std::optional<TaskItem> item, sources_[question.source]->question(state.drawn[question.source]++));
    if (!item) continue;
    HADAL_ASSIGN(question.prompt, encoder_.prompt(item->question));
    if (static_cast<int>(question.prompt.size()) > max_prompt_tokens_) continue;
    question.level = question_level(question.prompt.size());
    const std::size_t at = question.source * kQuestionLevels + question.level;
    const double taken = lesson(state.level_judged[at], state.level_accuracy[at]);
    if (adaptive_ && left_out < kMostLeftOut && Rng(seed_ + question.source, number).next_double() >= taken) {
      ++left_out;
      continue;
    }
    question.item = std::move(*item);
    return question;
  }
  return Error{ErrorKind::invalid,
               fmt::format("source {}: expected questions of at most {} tokens that can be judged, found none in {}",
                           sources_[question.source]->name(), max_prompt_tokens_, kMostPassedOver)};
}

void QuestionPool::record(const AskedQuestion& question, double share_right, CurriculumState& state) {
  const std::size_t at = question.source * kQuestionLevels + question.level;
  remember(share_right, state.judged[question.source], state.accuracy[question.source]);
  remember(share_right, state.level_judged[at], state.level_accuracy[at]);
}

}  // namespace hadal
