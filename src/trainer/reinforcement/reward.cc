#include "trainer/reinforcement/reward.h"

#include <algorithm>

#include "text/scripts.h"
#include "trainer/tasks/judge.h"
#include "trainer/tasks/judge_rules.h"

namespace hadal {
namespace {

std::string trimmed(const std::string& text) {
  return std::string(judging::trim(text));
}

}  // namespace

Result<AnswerTokens> AnswerTokens::find(const Tokenizer& tokenizer) {
  HADAL_ASSIGN(const std::vector<TokenId> found,
               tokenizer.encode(Prompt().control("</think>").control("<｜end▁of▁sentence｜>")));
  return AnswerTokens{found[0], found[1]};
}

AnswerText read_answer(std::span<const TokenId> drawn, const Tokenizer& tokenizer, const AnswerTokens& tokens) {
  const bool ended = !drawn.empty() && drawn.back() == tokens.end;
  if (ended) drawn = drawn.first(drawn.size() - 1);
  const auto think_end = std::find(drawn.begin(), drawn.end(), tokens.think_end);
  AnswerText text;
  text.reasoning = trimmed(tokenizer.decode(std::span(drawn.begin(), think_end)));
  if (think_end == drawn.end()) return text;
  text.answer = trimmed(tokenizer.decode(std::span(think_end + 1, drawn.end())));
  text.in_form = ended && !text.reasoning.empty() && !text.answer.empty() &&
                 std::count(think_end, drawn.end(), tokens.think_end) == 1;
  return text;
}

Result<Reward> reward_of(const TaskItem& item, const AnswerText& answer, const RewardWeights& weights) {
  Reward reward;
  reward.in_form = answer.in_form;
  HADAL_ASSIGN(reward.right, judge(item.task, answer.answer, item.answer, item.meta));
  reward.language = share_of_language(answer.reasoning, item.lang);
  reward.total = weights.right * reward.right + weights.form * reward.in_form + weights.language * reward.language;
  return reward;
}

}  // namespace hadal
