// The policy-gradient step on a tiny model, in exact arithmetic: where it is cut does not matter, it divides by all
// drawn tokens, it leaves out whom it should, and it is the derivative of the token losses of policy.h.
#include "trainer/reinforcement/update.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tiny_policy.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;

constexpr std::size_t kAnswers = 9;
constexpr int kOneBatch = 1 << 20;

// Of Case::distance(). Measured: 5e-7 where batches are cut elsewhere, 1.2e-6 where answers are left out. The mildest
// mistake below: 0.02.
constexpr double kSame = 1e-5;
constexpr double kOther = 1000 * kSame;

double drawn_tokens(std::span<const Lesson> lessons) {
  double sum = 0;
  for (const Lesson& lesson : lessons) sum += static_cast<double>(lesson.rollout->drawn().size());
  return sum;
}

// Three answers of unequal length to each of three questions.
struct Case {
  TinyPolicy tiny;
  std::unique_ptr<TrainingModel> reference = tiny.new_model();
  GrpoRecipe grpo;
  std::vector<Rollout> rollouts;
  std::vector<Lesson> lessons;

  // `moved`: how far model and reference are from what the answers were drawn from. With 0.02 a fifth of the tokens is
  // clipped.
  explicit Case(float moved = 0.02f) {
    grpo.sampling = {.temperature = 0.8, .top_p = 0.95};
    grpo.policy = {.kl_weight = 0.5};
    const auto prompts = TinyPolicy::prompts(std::vector<int>{1, 9, 40});
    std::vector<RolloutRequest> requests;
    for (const auto& prompt : prompts)
      for (int i = 0; i < 3; ++i) {
        const int n = static_cast<int>(requests.size());
        requests.push_back({prompt, grpo.sampling, 4 + 5 * n % 19, Trace::yes});
        requests.back().sampling.seed = static_cast<std::uint64_t>(n);
      }
    rollouts = tiny.answers(requests);
    const double advantages[kAnswers] = {1.1, -0.7, -0.4, -1.3, 0.2, 1.1, 0.9, 0.4, -1.3};
    for (std::size_t i = 0; i < kAnswers; ++i) lessons.push_back({&rollouts[i], advantages[i]});
    move(*tiny.model, moved, /*seed=*/8, *reference);
    move(*tiny.model, moved, /*seed=*/9, *tiny.model);
  }

  // `to` becomes `from` and a little of a random model.
  void move(TrainingModel& from, float share, std::uint64_t seed, TrainingModel& to) {
    std::vector<float> random(from.parameters().size());
    initialise(from.slots(), seed, 0.3, tiny.pool, random);
    for (std::size_t i = 0; i < random.size(); ++i) to.parameters()[i] = from.parameters()[i] + share * random[i];
    to.parameters_changed();
  }

  std::vector<Lesson> without(std::size_t answer) const {
    std::vector<Lesson> others = lessons;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(answer));
    return others;
  }

  struct Updated {
    std::vector<float> gradients;
    UpdateResult result;
  };
  Updated update(std::span<const Lesson> of, int batch_tokens = kOneBatch) {
    const std::span<float> gradients = tiny.model->gradients();
    std::fill(gradients.begin(), gradients.end(), 0.0f);
    Updated updated;
    updated.result = add_policy_gradient({grpo, batch_tokens, tiny.shape, *tiny.model, reference.get()}, of);
    updated.gradients.assign(gradients.begin(), gradients.end());
    return updated;
  }

  // Of the tensor that differs most: |factor x - y| / |y|.
  double distance(const std::vector<float>& x, const std::vector<float>& y, double factor = 1) const {
    double worst = 0;
    for (const ParameterSlot& slot : tiny.model->slots()) {
      double difference = 0, size = 0;
      for (std::size_t i = 0; i < static_cast<std::size_t>(slot.tensor.elements()); ++i) {
        const std::size_t at = static_cast<std::size_t>(slot.offset) + i;
        const double b = static_cast<double>(y[at]), d = factor * static_cast<double>(x[at]) - b;
        difference += d * d;
        size += b * b;
      }
      if (slot.trained) worst = std::max(worst, std::sqrt(difference / size));
    }
    return worst;
  }
};

TEST(Update, DoesNotDependOnWhereLessonsAreCut) {
  for (const bool replayed : {true, false}) {
    Case c;
    c.grpo.replay_routes = replayed;
    const Case::Updated whole = c.update(c.lessons);
    EXPECT_EQ(static_cast<double>(whole.result.tokens), drawn_tokens(c.lessons));
    EXPECT_GT(whole.result.clipped, 10);
    for (const int batch_tokens : {1, 40, 70, 100}) {
      const Case::Updated cut = c.update(c.lessons, batch_tokens);
      EXPECT_LT(c.distance(cut.gradients, whole.gradients), kSame) << batch_tokens;
      EXPECT_EQ(cut.result.tokens, whole.result.tokens);
      EXPECT_NEAR(cut.result.loss, whole.result.loss, 1e-9);  // a row's arithmetic does not know its neighbours
      EXPECT_NEAR(cut.result.kl, whole.result.kl, 1e-9);
      EXPECT_EQ(cut.result.clipped, whole.result.clipped);
      const auto& load = cut.result.expert_load;
      EXPECT_EQ(std::accumulate(load.begin(), load.end(), std::int64_t{0}), 2 * cut.result.rows);
    }
    // Prompts are computed once where their answers lie in one batch.
    EXPECT_EQ(whole.result.rows, (0 + 8 + 39) + whole.result.tokens);
    EXPECT_EQ(c.update(c.lessons, 1).result.rows, 3 * (0 + 8 + 39) + whole.result.tokens);
  }
}

TEST(Update, DividesByTheTokensOfAllItsLessons) {
  Case c;
  const std::span<const Lesson> all = c.lessons;
  const std::vector<float> whole = c.update(all).gradients;
  const std::vector<float> first = c.update(all.first(4)).gradients;
  const std::vector<float> rest = c.update(all.subspan(4)).gradients;
  const double share = drawn_tokens(all.first(4)) / drawn_tokens(all);
  const auto mean = [&](double of_first) {
    std::vector<float> both;
    for (std::size_t i = 0; i < first.size(); ++i)
      both.push_back(
          static_cast<float>(of_first * static_cast<double>(first[i]) + (1 - of_first) * static_cast<double>(rest[i])));
    return both;
  };
  EXPECT_LT(c.distance(mean(share), whole), kSame);
  EXPECT_GT(c.distance(mean(4.0 / kAnswers), whole), kOther);  // each batch divided by its own tokens, then answers
}

// A masked answer contributes nothing but its tokens to the divisor.
TEST(Update, LeavesOutTheAnswerThatIsOffPolicy) {
  Case c;
  c.grpo.policy.off_policy_limit = 1.5;  // nats a token; the model has moved by 0.2
  EXPECT_EQ(c.update(c.lessons).result.masked, 0);
  for (std::size_t i = 0; i < kAnswers; ++i) {
    Rollout unlikely_now = c.rollouts[i];
    for (float& drawn : unlikely_now.log_probabilities) drawn += 2;
    std::vector<Lesson> lessons = c.lessons;
    lessons[i] = {&unlikely_now, -1};
    const std::vector<Lesson> others = c.without(i);
    const Case::Updated expected = c.update(others);
    const double divisor = drawn_tokens(others) / drawn_tokens(lessons);
    for (const int batch_tokens : {kOneBatch, 1}) {  // 1: a batch in which nothing is learned
      const Case::Updated masked = c.update(lessons, batch_tokens);
      EXPECT_EQ(masked.result.masked, 1);
      EXPECT_EQ(masked.result.tokens, expected.result.tokens);
      EXPECT_NEAR(masked.result.loss, expected.result.loss, 1e-9);
      EXPECT_LT(c.distance(expected.gradients, masked.gradients, divisor), kSame) << i;
      EXPECT_GT(c.distance(expected.gradients, masked.gradients), kOther) << i;  // divided by learned tokens alone
    }
    const Case::Updated another = c.update(c.without((i + 1) % kAnswers));
    EXPECT_GT(c.distance(another.gradients, expected.gradients), kOther) << i;

    lessons[i].advantage = 1;  // a better answer is learned from however unlikely it has become
    EXPECT_EQ(c.update(lessons).result.masked, 0);
  }
}

TEST(Update, OfMaskedAnswersAloneIsNothing) {
  Case c;
  c.grpo.policy.off_policy_limit = 1e-9;
  for (Rollout& rollout : c.rollouts)
    for (float& drawn : rollout.log_probabilities) drawn += 2;
  for (Lesson& lesson : c.lessons) lesson.advantage = -1;
  const Case::Updated nothing = c.update(c.lessons);
  EXPECT_EQ(nothing.result.masked, static_cast<int>(kAnswers));
  EXPECT_EQ(nothing.result.tokens, 0);
  EXPECT_EQ(nothing.result.loss, 0);
  EXPECT_THAT(nothing.gradients, ::testing::Each(0.0f));
}

// Drawn from the model as it is, which is the reference too: every ratio is 1.
TEST(Update, OnPolicyTheLossIsTheMeanAdvantage) {
  Case c(0);
  const UpdateResult result = c.update(c.lessons).result;
  double sum = 0;
  for (const Lesson& lesson : c.lessons) sum += lesson.advantage * static_cast<double>(lesson.rollout->drawn().size());
  const double tokens = static_cast<double>(result.tokens);
  EXPECT_NEAR(result.loss / tokens, -sum / tokens, 1e-6);  // measured: 4e-8, and 0.1 when all have moved
  EXPECT_LT(result.mismatch / tokens, 1e-5);               // measured: 1e-6, and 0.2
  EXPECT_LT(result.kl / tokens, 1e-9);
  EXPECT_EQ(result.clipped, 0);
  Case moved;
  EXPECT_GT(moved.update(moved.lessons).result.mismatch / tokens, 0.1);
}

// The loss by policy.h, each answer on its own.
enum class Mean { over_tokens, over_answers };
double loss_of(Case& c, const PolicyRule& rule, Mean mean) {
  double loss = 0;
  for (const Lesson& lesson : c.lessons) {
    TrainingBatch alone;
    alone.temperature = c.grpo.sampling.temperature;
    append_rollout(*lesson.rollout, nullptr, c.tiny.shape, true, true, alone);
    finish_routes(c.tiny.shape, alone);
    const std::vector<float> now = c.tiny.model->negative_log_likelihoods(alone);
    alone.routes.clear();
    const std::vector<float> reference = c.reference->negative_log_likelihoods(alone);
    const std::vector<float>& drawn = lesson.rollout->log_probabilities;
    const double n = mean == Mean::over_tokens ? drawn_tokens(c.lessons) : static_cast<double>(kAnswers * drawn.size());
    for (std::size_t i = 0; i < drawn.size(); ++i) {
      const std::size_t t = now.size() - drawn.size() + i;
      loss += token_loss(rule, lesson.advantage,
                         {.now = -static_cast<double>(now[t]),
                          .drawn = static_cast<double>(drawn[i]),
                          .reference = -static_cast<double>(reference[t])})
                  .value /
              n;
    }
  }
  return loss;
}

// How far central differences of that loss are from the gradients, as a share of them: the worst of the steepest
// parameters of every fourth tensor.
double worst_slope(Case& c, const std::vector<float>& gradients, const PolicyRule& rule, Mean mean) {
  constexpr float kStep = 1e-3f;  // with 3e-3 a token comes to the edge where it is clipped
  double worst = 0;
  const std::span<const ParameterSlot> slots = c.tiny.model->slots();
  for (std::size_t tensor = 0; tensor < slots.size(); tensor += 4) {
    const ParameterSlot& slot = slots[tensor];
    if (!slot.trained) continue;
    const auto begin = static_cast<std::size_t>(slot.offset);
    std::size_t at = begin;
    for (std::size_t i = begin; i < begin + static_cast<std::size_t>(slot.tensor.elements()); ++i)
      if (std::abs(gradients[i]) > std::abs(gradients[at])) at = i;
    float& parameter = c.tiny.model->parameters()[at];
    const float old = parameter;
    const auto loss_at = [&](float value) {
      parameter = value;
      c.tiny.model->parameters_changed();
      return loss_of(c, rule, mean);
    };
    const float above = old + kStep, below = old - kStep;
    const double slope = (loss_at(above) - loss_at(below)) / (static_cast<double>(above) - static_cast<double>(below));
    parameter = old;
    const double gradient = static_cast<double>(gradients[at]);
    worst = std::max(worst, std::abs(slope - gradient) / std::abs(gradient));
  }
  c.tiny.model->parameters_changed();
  return worst;
}

TEST(Update, IsTheDerivativeOfTheTokenLosses) {
  Case c;
  const Case::Updated updated = c.update(c.lessons);
  const PolicyRule rule = c.grpo.policy;
  EXPECT_NEAR(updated.result.loss / drawn_tokens(c.lessons), loss_of(c, rule, Mean::over_tokens), 1e-6);
  // Measured: 0.0016, the float noise of a difference. What else the loss could be mistaken for: 0.4 and more.
  EXPECT_LT(worst_slope(c, updated.gradients, rule, Mean::over_tokens), 0.005);
  PolicyRule other = rule;
  other.kl_weight = 0;
  EXPECT_GT(worst_slope(c, updated.gradients, other, Mean::over_tokens), 0.1);
  other = rule;
  other.clip_low = other.clip_high = 0.99;
  EXPECT_GT(worst_slope(c, updated.gradients, other, Mean::over_tokens), 0.1);
  EXPECT_GT(worst_slope(c, updated.gradients, rule, Mean::over_answers), 0.1);
}

// What append_rollout() makes of answers to one prompt: its rows once, and every answer goes on from them.
TEST(AppendRollout, AnswersToOnePromptHaveTheGradientsOfWholeOnes) {
  Case c;
  enum class Prompts { shared, apart };
  const auto batch_of = [&](Prompts prompts) {
    TrainingBatch batch;
    batch.temperature = c.grpo.sampling.temperature;
    for (std::size_t i = 0; i < kAnswers; ++i)
      append_rollout(c.rollouts[i], i == 0 || prompts == Prompts::apart ? nullptr : &c.rollouts[i - 1], c.tiny.shape,
                     true, true, batch);
    finish_routes(c.tiny.shape, batch);
    return batch;
  };
  // Of a loss that weighs every drawn token otherwise; they are in the same order in any batch.
  const auto gradients_of = [&](const TrainingBatch& batch) {
    std::vector<double> slopes(batch.targets.size());
    double drawn = 0;
    for (std::size_t t = 0; t < slopes.size(); ++t)
      if (batch.targets[t] >= 0) slopes[t] = std::cos(drawn++);
    const std::span<float> gradients = c.tiny.model->gradients();
    std::fill(gradients.begin(), gradients.end(), 0.0f);
    c.tiny.model->forward_backward(batch, {.slope = [&](std::size_t t, double) { return slopes[t]; }});
    return std::vector<float>(gradients.begin(), gradients.end());
  };
  TrainingBatch shared = batch_of(Prompts::shared);
  const TrainingBatch apart = batch_of(Prompts::apart);
  // A prompt of one token has no row that answers could share.
  EXPECT_THAT(shared.prefixes, ElementsAre(-1, -1, -1, -1, 3, 3, 3, -1, 7, 7, 7));
  EXPECT_EQ(apart.tokens.size() - shared.tokens.size(), 2u * (8 + 39));
  const std::vector<float> expected = gradients_of(apart);
  EXPECT_LT(c.distance(gradients_of(shared), expected), kSame);
  shared.prefixes.back() = 3;  // another question's
  EXPECT_GT(c.distance(gradients_of(shared), expected), kOther);
}

}  // namespace
}  // namespace hadal
