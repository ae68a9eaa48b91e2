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

}  // namespace

std::vector<double> QuestionPool::weights(const CurriculumState& state) const {
  std::vector<double> weights = weights_;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!adaptive_ || i >= state.judged.size() || state.judged[i] < kTrustedAfter) continue;
    weights[i] *= std::max(kLeast, 4 * state.accuracy[i] * (1 - state.accuracy[i]));
  }
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& w : weights) w /= sum;
  return weights;
}

Result<AskedQuestion> QuestionPool::next(CurriculumState& state) const {
  state.drawn.resize(sources_.size(), 0);
  state.judged.resize(sources_.size(), 0);
  state.accuracy.resize(sources_.size(), 0.5);
  const std::vector<double> shares = weights(state);
  const std::uint64_t asked = std::accumulate(state.drawn.begin(), state.drawn.end(), std::uint64_t{0});
  double left = Rng(seed_, asked).next_double();
  AskedQuestion question;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] <= 0) continue;
    question.source = i;
    if ((left -= shares[i]) < 0) break;
  }
  for (int tries = 0; tries < kMostPassedOver; ++tries) {
    HADAL_ASSIGN(std::optional<TaskItem> item, sources_[question.source]->question(state.drawn[question.source]++));
    if (!item) continue;
    HADAL_ASSIGN(question.prompt, encoder_.prompt(item->question));
    if (static_cast<int>(question.prompt.size()) > max_prompt_tokens_) continue;
    question.item = std::move(*item);
    return question;
  }
  return Error{ErrorKind::invalid,
               fmt::format("source {}: expected questions of at most {} tokens that can be judged, found none in {}",
                           question.source, max_prompt_tokens_, kMostPassedOver)};
}

void QuestionPool::record(std::size_t source, double share_right, CurriculumState& state) {
  const double n = static_cast<double>(++state.judged[source]);
  state.accuracy[source] += (share_right - state.accuracy[source]) * std::max(kMemory, 1 / n);
}

}  // namespace hadal
