// What an answer is worth: right by the task's own rule, in form, reasoned in the question's language.
//
// The rule is judge() of trainer/tasks/judge.h, the one `hadal eval` uses. In form is what R1 asks for: reasoning, one
// </think>, an answer that is not empty, and its end. Pure functions, any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "text/tokenizer.h"
#include "trainer/tasks/task_item.h"

namespace hadal {

struct RewardWeights {
  double right = 1, form = 0.1, language = 0;
};

struct Reward {
  bool right = false, in_form = false;
  double language = 0;  // share of the reasoning's letters that are of the question's script
  double total = 0;
};

// Control tokens of the form.
struct AnswerTokens {
  TokenId think_end, end;
  static Result<AnswerTokens> find(const Tokenizer& tokenizer);
};

struct AnswerText {
  std::string reasoning, answer;  // without white space at their ends
  bool in_form = false;
};
// `drawn`: what a model said after the prompt's "<think>\n".
AnswerText read_answer(std::span<const TokenId> drawn, const Tokenizer& tokenizer, const AnswerTokens& tokens);

// Error: an item that its own rule cannot read.
Result<Reward> reward_of(const TaskItem& item, const AnswerText& answer, const RewardWeights& weights);

}  // namespace hadal
