// The arithmetic of GRPO (MODELS.md 11.5, 11.6): rewards of a group to advantages, and the loss of one token.
//
//   J = mean over tokens of  min(rho A, clip(rho, 1 - low, 1 + high) A) - beta rho (pi_ref/pi - ln(pi_ref/pi) - 1)
//   rho = pi / pi_old
//
// The mean is over all tokens of the update, not over each answer first: dividing by an answer's own length rewards
// long wrong answers and short right ones. The factor rho makes the estimate of the KL divergence unbiased for answers
// drawn from pi_old; its gradient is then beta rho (ln pi - ln pi_ref). Pure functions.
#pragma once

#include <span>
#include <vector>

namespace hadal {

struct PolicyRule {
  double clip_low = 0.2, clip_high = 0.2;
  double kl_weight = 0.001;     // beta
  double off_policy_limit = 0;  // delta: a worse answer that became this much less likely a token is left out; 0: never
  bool divide_by_deviation = true;  // advantages; false: the mean alone is taken off
};

// (r - mean) / deviation of the group, or r - mean. All 0 where every reward is the same.
std::vector<double> group_advantages(std::span<const double> rewards, bool divide_by_deviation);

// Logarithms of how likely a token is: now, when it was drawn, and to the reference.
struct TokenProbabilities {
  double now, drawn, reference;
};

struct TokenLoss {
  double value = 0;  // -J of the token
  double slope = 0;  // its derivative by ln pi
  double kl = 0;     // the unbiased estimate
  bool clipped = false;
};
TokenLoss token_loss(const PolicyRule& rule, double advantage, const TokenProbabilities& p);

// Whether an answer is too far off policy to learn from (MODELS.md 11.6): A < 0 and mean ln(pi_old / pi) > delta.
bool off_policy(const PolicyRule& rule, double advantage, std::span<const double> now, std::span<const float> drawn);

}  // namespace hadal
