#include "trainer/reinforcement/policy.h"

#include <algorithm>
#include <cmath>

namespace hadal {

std::vector<double> group_advantages(std::span<const double> rewards, bool divide_by_deviation) {
  std::vector<double> advantages(rewards.size(), 0.0);
  if (rewards.empty() || std::all_of(rewards.begin(), rewards.end(), [&](double r) { return r == rewards[0]; }))
    return advantages;
  const double n = static_cast<double>(rewards.size());
  double mean = 0, variance = 0;
  for (const double r : rewards) mean += r / n;
  for (const double r : rewards) variance += (r - mean) * (r - mean) / n;
  const double scale = divide_by_deviation ? 1 / std::sqrt(variance) : 1;
  for (std::size_t i = 0; i < rewards.size(); ++i) advantages[i] = (rewards[i] - mean) * scale;
  return advantages;
}

TokenLoss token_loss(const PolicyRule& rule, double advantage, const TokenProbabilities& p) {
  const double ratio = std::exp(p.now - p.drawn);
  const double held = std::clamp(ratio, 1 - rule.clip_low, 1 + rule.clip_high);
  TokenLoss loss;
  loss.clipped = held * advantage < ratio * advantage;
  loss.value = -std::min(ratio * advantage, held * advantage);
  if (!loss.clipped) loss.slope = -ratio * advantage;
  if (rule.kl_weight > 0) {
    const double log_ratio = p.reference - p.now;
    loss.kl = ratio * (std::exp(log_ratio) - log_ratio - 1);
    loss.value += rule.kl_weight * loss.kl;
    loss.slope -= rule.kl_weight * ratio * log_ratio;
  }
  return loss;
}

bool off_policy(const PolicyRule& rule, double advantage, std::span<const double> now, std::span<const float> drawn) {
  if (rule.off_policy_limit <= 0 || advantage >= 0 || now.empty()) return false;
  double sum = 0;
  for (std::size_t i = 0; i < now.size(); ++i) sum += static_cast<double>(drawn[i]) - now[i];
  return sum > rule.off_policy_limit * static_cast<double>(now.size());
}

}  // namespace hadal
