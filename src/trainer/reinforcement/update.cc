#include "trainer/reinforcement/update.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace hadal {
namespace {

class Update {
 public:
  Update(const UpdateSetting& setting, std::span<const Lesson> lessons) : setting_(setting), lessons_(lessons) {}

  UpdateResult run() {
    for (const Lesson& lesson : lessons_) drawn_tokens_ += static_cast<double>(lesson.rollout->drawn().size());
    std::size_t begin = 0, rows = 0;
    for (std::size_t end = 0; end < lessons_.size(); ++end) {
      const Rollout& rollout = *lessons_[end].rollout;
      const std::size_t whole = rollout.tokens.size() - 1;
      const bool shared = end > begin && same_prompt(rollout, *lessons_[end - 1].rollout);
      const std::size_t more = whole - (shared ? rows_of_prompt(rollout) : 0);
      if (rows > 0 && rows + more > static_cast<std::size_t>(setting_.batch_tokens)) {
        learn(lessons_.subspan(begin, end - begin));
        begin = end;
        rows = whole;
      } else {
        rows += more;
      }
    }
    learn(lessons_.subspan(begin));
    return std::move(result_);
  }

 private:
  // One batch: forward, for the mask and the reference once more each, and backward.
  void learn(std::span<const Lesson> lessons) {
    if (lessons.empty()) return;
    const GrpoRecipe& grpo = setting_.grpo;
    TrainingBatch batch;
    batch.temperature = grpo.sampling.temperature;
    std::vector<double> advantages;          // [T]
    std::vector<TokenProbabilities> tokens;  // [T]
    std::vector<std::size_t> ends;           // the row behind each lesson
    const Rollout* before = nullptr;
    for (const Lesson& lesson : lessons) {
      const Rollout& rollout = *lesson.rollout;
      append_rollout(rollout, std::exchange(before, &rollout), setting_.shape, grpo.replay_routes, grpo.replay_mask,
                     batch);
      ends.push_back(batch.tokens.size());
      advantages.resize(batch.tokens.size(), lesson.advantage);
      tokens.resize(batch.tokens.size());
      for (std::size_t i = 0; i < rollout.log_probabilities.size(); ++i)
        tokens[tokens.size() - rollout.log_probabilities.size() + i].drawn =
            static_cast<double>(rollout.log_probabilities[i]);
    }
    finish_routes(setting_.shape, batch);
    if (grpo.policy.off_policy_limit > 0) mask(lessons, ends, batch);
    if (setting_.reference != nullptr) {
      TrainingBatch own = batch;  // the reference goes its own routes
      own.routes.clear();
      const std::vector<float> nll = setting_.reference->negative_log_likelihoods(own);
      for (std::size_t t = 0; t < nll.size(); ++t) tokens[t].reference = -static_cast<double>(nll[t]);
    }
    std::vector<TokenLoss> losses(batch.tokens.size());  // [T]
    const double share = 1 / drawn_tokens_;
    const StepResult step = setting_.model.forward_backward(
        batch, {.sequence_balance_alpha = 0, .mtp_weight = 0, .slope = [&](std::size_t t, double log_probability) {
                  tokens[t].now = log_probability;
                  losses[t] = token_loss(grpo.policy, advantages[t], tokens[t]);
                  return losses[t].slope * share;
                }});
    add_up(batch, tokens, losses);
    result_.expert_load.resize(std::max(result_.expert_load.size(), step.expert_load.size()), 0);
    for (std::size_t i = 0; i < step.expert_load.size(); ++i) result_.expert_load[i] += step.expert_load[i];
  }

  // Takes the targets of answers away that are too far off policy.
  void mask(std::span<const Lesson> lessons, std::span<const std::size_t> ends, TrainingBatch& batch) {
    const std::vector<float> nll = setting_.model.negative_log_likelihoods(batch);
    for (std::size_t i = 0; i < lessons.size(); ++i) {
      const auto& drawn = lessons[i].rollout->log_probabilities;
      const std::size_t end = ends[i], begin = end - drawn.size();
      std::vector<double> now;
      for (std::size_t t = begin; t < end; ++t) now.push_back(-static_cast<double>(nll[t]));
      if (!off_policy(setting_.grpo.policy, lessons[i].advantage, now, drawn)) continue;
      std::fill(batch.targets.begin() + static_cast<std::ptrdiff_t>(begin),
                batch.targets.begin() + static_cast<std::ptrdiff_t>(end), -1);
      ++result_.masked;
    }
  }

  void add_up(const TrainingBatch& batch, std::span<const TokenProbabilities> tokens,
              std::span<const TokenLoss> losses) {
    for (std::size_t t = 0; t < losses.size(); ++t) {
      if (batch.targets[t] < 0) continue;
      ++result_.tokens;
      result_.loss += losses[t].value;
      result_.entropy -= tokens[t].now;
      result_.kl += losses[t].kl;
      result_.clipped += losses[t].clipped;
      result_.mismatch += std::abs(tokens[t].now - tokens[t].drawn);
    }
    result_.rows += static_cast<std::int64_t>(batch.tokens.size());
  }

  const UpdateSetting& setting_;
  std::span<const Lesson> lessons_;
  double drawn_tokens_ = 0;  // N
  UpdateResult result_;
};

}  // namespace

UpdateResult add_policy_gradient(const UpdateSetting& setting, std::span<const Lesson> lessons) {
  HADAL_CHECK(setting.grpo.policy.kl_weight <= 0 || setting.reference != nullptr);
  return Update(setting, lessons).run();
}

}  // namespace hadal
