#include "trainer/reinforcement/reinforcement_stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/rng.h"
#include "trainer/load_balance.h"
#include "trainer/reinforcement/update.h"
#include "trainer/tasks/judge.h"

namespace hadal {

// A question and its answers.
struct ReinforcementStage::Group {
  AskedQuestion question;
  std::vector<Rollout> rollouts;
  std::vector<double> rewards;
  std::vector<bool> right;
};

// Of all answers of some rounds.
struct ReinforcementStage::Judged {
  ReinforcementMetrics sums;
  std::map<std::size_t, std::pair<double, double>> by_source;  // right, answers
};

namespace {

// The random numbers of an answer: of its question's number and its place in the group.
std::uint64_t seed_of(std::uint64_t seed, std::uint64_t question, int answer) {
  return Rng(seed ^ (question * 0x9e3779b97f4a7c15ULL), static_cast<std::uint64_t>(answer)).next_u64();
}

}  // namespace

Result<std::unique_ptr<ReinforcementStage>> ReinforcementStage::create(ReinforcementSetting setting,
                                                                       std::span<const float> reference) {
  HADAL_ASSIGN(const AnswerTokens tokens, AnswerTokens::find(setting.encoder.tokenizer()));
  std::unique_ptr<ReinforcementStage> stage(new ReinforcementStage(std::move(setting), tokens));
  if (stage->setting_.stage.kind == StageKind::grpo && stage->setting_.stage.grpo.policy.kl_weight > 0) {
    HADAL_ASSIGN(stage->reference_, TrainingModel::create(stage->setting_.model.config(), stage->setting_.compute));
    const std::span<const float> from = reference.empty() ? stage->setting_.model.parameters() : reference;
    HADAL_CHECK(from.size() == stage->reference_->parameters().size());
    std::copy(from.begin(), from.end(), stage->reference_->parameters().begin());
    stage->reference_->parameters_changed();
  }
  return stage;
}

ReinforcementStage::ReinforcementStage(ReinforcementSetting setting, AnswerTokens tokens)
    : setting_(std::move(setting)),
      tokens_(tokens),
      pool_(setting_.sources, setting_.encoder, setting_.weights, setting_.stage.grpo.adaptive,
            setting_.stage.sequence_tokens - 2, setting_.seed),
      shape_(route_shape_of(setting_.model.config())) {}

ReinforcementStage::~ReinforcementStage() = default;

Result<std::vector<AskedQuestion>> ReinforcementStage::first_questions() const {
  std::vector<AskedQuestion> questions;
  CurriculumState state;
  for (int i = 0; i < setting_.stage.grpo.questions; ++i) {
    HADAL_ASSIGN(AskedQuestion question, pool_.next(state));
    questions.push_back(std::move(question));
  }
  return questions;
}

std::span<const float> ReinforcementStage::reference() const {
  return reference_ ? reference_->parameters() : std::span<float>();
}

void ReinforcementStage::refresh_reference() {
  std::copy(setting_.model.parameters().begin(), setting_.model.parameters().end(), reference_->parameters().begin());
  reference_->parameters_changed();
}

Result<std::unique_ptr<RolloutEngine>> ReinforcementStage::open_engine() const {
  return RolloutEngine::create(setting_.model, setting_.compute, setting_.stage.grpo.sequences,
                               setting_.stage.sequence_tokens);
}

// One round: `questions` groups of answers, judged.
Result<std::vector<ReinforcementStage::Group>> ReinforcementStage::ask_round(std::size_t questions,
                                                                             RolloutEngine& engine,
                                                                             CurriculumState& state, Judged& judged) {
  const GrpoRecipe& grpo = setting_.stage.grpo;
  ReinforcementMetrics& metrics = judged.sums;
  std::vector<Group> groups(questions);
  std::vector<RolloutRequest> requests;
  for (Group& group : groups) {
    HADAL_ASSIGN(group.question, pool_.next(state));
    std::uint64_t number = 0;
    for (const std::uint64_t drawn : state.drawn) number += drawn;
    for (int i = 0; i < grpo.group; ++i) {
      SamplingParams sampling = grpo.sampling;
      sampling.seed = seed_of(setting_.seed, number, i);
      requests.push_back({group.question.prompt, sampling, grpo.answer_tokens, Trace::yes});
    }
  }
  HADAL_ASSIGN(std::vector<Rollout> rollouts, engine.run(requests, tokens_.end, setting_.cancel));
  for (std::size_t g = 0; g < groups.size(); ++g) {
    Group& group = groups[g];
    double right = 0;
    for (int i = 0; i < grpo.group; ++i) {
      Rollout& rollout = rollouts[g * static_cast<std::size_t>(grpo.group) + static_cast<std::size_t>(i)];
      HADAL_ASSIGN(const Reward reward,
                   reward_of(group.question.item, read_answer(rollout.drawn(), setting_.encoder.tokenizer(), tokens_),
                             grpo.rewards));
      right += reward.right;
      metrics.reward += reward.total;
      metrics.accuracy += reward.right;
      metrics.in_form += reward.in_form;
      metrics.language += reward.language;
      metrics.answer_tokens += static_cast<double>(rollout.drawn().size());
      metrics.cut += !rollout.ended;
      group.rewards.push_back(reward.total);
      group.right.push_back(reward.right);
      group.rollouts.push_back(std::move(rollout));
    }
    QuestionPool::record(group.question, right / grpo.group, state);
    auto& [right_of_source, answers_of_source] = judged.by_source[group.question.source];
    right_of_source += right;
    answers_of_source += grpo.group;
  }
  return groups;
}

Result<std::vector<ReinforcementStage::Group>> ReinforcementStage::ask(CurriculumState& state,
                                                                       ReinforcementMetrics& metrics) {
  const GrpoRecipe& grpo = setting_.stage.grpo;
  const Stopwatch watch;
  HADAL_ASSIGN(const std::unique_ptr<RolloutEngine> engine, open_engine());
  Judged judged;
  std::vector<Group> kept;
  const auto wanted = static_cast<std::size_t>(grpo.questions);
  for (int round = 0; round < grpo.rounds && kept.size() < wanted; ++round) {
    HADAL_ASSIGN(std::vector<Group> groups, ask_round(wanted - kept.size(), *engine, state, judged));
    judged.sums.groups_tried += static_cast<int>(groups.size());
    for (Group& group : groups)
      if (std::any_of(group.rewards.begin(), group.rewards.end(), [&](double r) { return r != group.rewards[0]; }))
        kept.push_back(std::move(group));
  }
  metrics = judged.sums;
  for (const auto& [source, counts] : judged.by_source)
    metrics.accuracy_by_source[setting_.source_recipes[source].name] = counts.first / counts.second;
  metrics.groups_kept = static_cast<int>(kept.size());
  metrics.rollout_seconds = watch.elapsed().count();
  metrics.rollout_tokens_per_second = metrics.answer_tokens / metrics.rollout_seconds;
  const double answers = static_cast<double>(metrics.groups_tried) * grpo.group;
  for (double* mean :
       {&metrics.reward, &metrics.accuracy, &metrics.in_form, &metrics.language, &metrics.answer_tokens, &metrics.cut})
    *mean /= answers;
  const std::vector<double> weights = pool_.weights(state);
  for (std::size_t i = 0; i < weights.size(); ++i)
    if (weights[i] > 0) metrics.weight_by_source[setting_.source_recipes[i].name] = weights[i];
  return kept;
}

Result<ReinforcementStep> ReinforcementStage::step(std::int64_t step, Optimizer& optimizer, double rate_factor,
                                                   CurriculumState& state,
                                                   const std::function<Status(double loss, double norm)>& check) {
  const StageRecipe& recipe = setting_.stage;
  TrainingModel& model = setting_.model;
  if (reference_ && step > 0 && step % recipe.grpo.reference_steps == 0) refresh_reference();
  ReinforcementStep result;
  HADAL_ASSIGN(const std::vector<Group> groups, ask(state, result.metrics));
  std::vector<Lesson> lessons;
  for (const Group& group : groups) {
    const std::vector<double> advantages = group_advantages(group.rewards, recipe.grpo.policy.divide_by_deviation);
    for (std::size_t i = 0; i < advantages.size(); ++i) lessons.push_back({&group.rollouts[i], advantages[i]});
  }
  if (lessons.empty() && step == 0)
    return Error{
        ErrorKind::invalid,
        fmt::format("stage {}: step {}: expected answers of different worth, found all {} groups of {} alike (mean "
                    "reward {:.3f}, {:.1f} % right): nothing can be learned from them",
                    recipe.name, step + 1, result.metrics.groups_tried, recipe.grpo.group, result.metrics.reward,
                    100 * result.metrics.accuracy)};
  if (lessons.empty()) return result;  // later on it may be that everything asked is learned
  const Stopwatch watch;
  const int updates = std::min<int>(recipe.grpo.updates, static_cast<int>(groups.size()));
  double tokens = 0;
  for (int u = 0; u < updates; ++u) {
    // Whole groups: their advantages sum to nothing together.
    const std::size_t group = static_cast<std::size_t>(recipe.grpo.group), n = groups.size(),
                      begin = n * static_cast<std::size_t>(u) / static_cast<std::size_t>(updates) * group,
                      end = n * static_cast<std::size_t>(u + 1) / static_cast<std::size_t>(updates) * group;
    const UpdateResult update = add_policy_gradient({recipe.grpo, recipe.batch_tokens, shape_, model, reference_.get()},
                                                    std::span(lessons).subspan(begin, end - begin));
    const double learned = static_cast<double>(std::max<std::int64_t>(1, update.tokens));
    const double loss = update.loss / learned;
    const double norm = optimizer.gradient_norm(model.gradients());
    HADAL_RETURN_IF_ERROR(check(loss, norm));
    optimizer.step(recipe.optimizer, rate_factor, norm, model.parameters(), model.gradients());
    update_router_bias(model.slots(), update.expert_load, recipe.balance_rate, model.parameters());
    model.parameters_changed();
    result.loss += loss / updates;
    result.gradient_norm += norm / updates;
    result.tokens += update.rows;
    result.expert_load.resize(std::max(result.expert_load.size(), update.expert_load.size()), 0);
    for (std::size_t i = 0; i < update.expert_load.size(); ++i) result.expert_load[i] += update.expert_load[i];
    result.metrics.entropy += update.entropy;
    result.metrics.kl += update.kl;
    result.metrics.clipped += update.clipped;
    if (u == 0) result.metrics.mismatch = update.mismatch / learned;
    result.metrics.masked += update.masked;
    tokens += static_cast<double>(update.tokens);
  }
  for (double* mean : {&result.metrics.entropy, &result.metrics.kl, &result.metrics.clipped})
    *mean /= std::max(1.0, tokens);
  result.metrics.masked /= static_cast<double>(lessons.size());
  result.metrics.update_seconds = watch.elapsed().count();
  result.metrics.update_tokens_per_second = static_cast<double>(result.tokens) / result.metrics.update_seconds;
  return result;
}

Result<std::vector<ReinforcementStage::Kept>> ReinforcementStage::right_answers(
    const std::function<void(int asked, std::size_t kept)>& progress) {
  constexpr int kRound = 32;  // questions whose answers lie in memory at once
  const GrpoRecipe& grpo = setting_.stage.grpo;
  HADAL_ASSIGN(const std::unique_ptr<RolloutEngine> engine, open_engine());
  std::vector<Kept> kept;
  std::set<std::pair<std::string, std::string>> seen;  // questions and their reasoning
  CurriculumState state;
  Judged judged;
  for (int asked = 0; asked < grpo.questions; asked += kRound) {
    const int questions = std::min(kRound, grpo.questions - asked);
    HADAL_ASSIGN(std::vector<Group> groups, ask_round(static_cast<std::size_t>(questions), *engine, state, judged));
    for (Group& group : groups) {
      std::vector<std::size_t> shortest(group.rollouts.size());
      std::iota(shortest.begin(), shortest.end(), std::size_t{0});
      std::stable_sort(shortest.begin(), shortest.end(), [&](std::size_t a, std::size_t b) {
        return group.rollouts[a].tokens.size() < group.rollouts[b].tokens.size();
      });
      const Result<WorkedExample> worked = work_out(group.question.item);
      const bool by_letters = worked.ok() && worked->answer_by_letters;
      int taken = 0;
      for (const std::size_t i : shortest) {
        if (taken == grpo.keep) break;
        AnswerText text = read_answer(group.rollouts[i].drawn(), setting_.encoder.tokenizer(), tokens_);
        const std::string& question = group.question.item.question;
        if (!group.right[i] || !text.in_form || !seen.insert({question, text.reasoning}).second) continue;
        kept.push_back({question, std::move(text.reasoning), std::move(text.answer), by_letters});
        ++taken;
      }
    }
    progress(asked + questions, kept.size());
  }
  return kept;
}

Result<std::vector<ReinforcementStage::Answered>> ReinforcementStage::answers(std::span<const TaskItem> items) {
  const GrpoRecipe& grpo = setting_.stage.grpo;
  HADAL_ASSIGN(const std::unique_ptr<RolloutEngine> engine, open_engine());
  std::vector<std::vector<TokenId>> prompts;
  std::vector<Answered> answered;
  for (std::size_t i = 0; i < items.size(); ++i) {
    HADAL_ASSIGN(std::vector<TokenId> prompt, setting_.encoder.prompt(items[i].question));
    if (static_cast<int>(prompt.size()) > setting_.stage.sequence_tokens - 2) continue;
    prompts.push_back(std::move(prompt));
    answered.push_back({.item = i, .text = {}});
  }
  std::vector<RolloutRequest> requests;
  for (const std::vector<TokenId>& prompt : prompts)
    requests.push_back({prompt, SamplingParams{}, grpo.answer_tokens, Trace::no});
  HADAL_ASSIGN(const std::vector<Rollout> rollouts, engine->run(requests, tokens_.end, setting_.cancel));
  for (std::size_t i = 0; i < rollouts.size(); ++i) {
    answered[i].text = read_answer(rollouts[i].drawn(), setting_.encoder.tokenizer(), tokens_);
    const TaskItem& item = items[answered[i].item];
    HADAL_ASSIGN(answered[i].right, judge(item.task, answered[i].text.answer, item.answer, item.meta));
  }
  return answered;
}

}  // namespace hadal
