#include "trainer/load_balance.h"

#include <algorithm>
#include <numeric>

namespace hadal {

void update_router_bias(std::span<const ParameterSlot> slots, std::span<const std::int64_t> expert_load, double gamma,
                        std::span<float> parameters) {
  std::size_t first = 0;
  for (const ParameterSlot& slot : slots) {
    if (slot.tensor.role != TensorRole::router_bias) continue;
    const auto experts = static_cast<std::size_t>(slot.tensor.elements());
    HADAL_CHECK(first + experts <= expert_load.size());
    const auto load_E = expert_load.subspan(first, experts);
    const std::int64_t total = std::accumulate(load_E.begin(), load_E.end(), std::int64_t{0});
    for (std::size_t e = 0; e < experts; ++e) {
      // Compared in integers, total < E * load, so that a balanced expert stays exactly where it is.
      const std::int64_t scaled = load_E[e] * static_cast<std::int64_t>(experts);
      const int sign = total > scaled ? 1 : total < scaled ? -1 : 0;
      parameters[static_cast<std::size_t>(slot.offset) + e] += static_cast<float>(gamma * sign);
    }
    first += experts;
  }
}

double max_over_mean_load(std::span<const std::int64_t> expert_load, int n_routed_experts) {
  double worst = 0;
  if (n_routed_experts <= 0) return 0;
  const auto experts = static_cast<std::size_t>(n_routed_experts);
  for (std::size_t first = 0; first + experts <= expert_load.size(); first += experts) {
    const auto load_E = expert_load.subspan(first, experts);
    const double total = static_cast<double>(std::accumulate(load_E.begin(), load_E.end(), std::int64_t{0}));
    if (total <= 0) continue;
    worst = std::max(worst, static_cast<double>(*std::max_element(load_E.begin(), load_E.end())) *
                                static_cast<double>(experts) / total);
  }
  return worst;
}

void RecentLoad::add(std::span<const std::int64_t> expert_load) {
  if (expert_load.empty()) return;
  HADAL_CHECK(steps_.empty() || expert_load.size() == sum_.size());
  sum_.resize(expert_load.size());
  steps_.emplace_back(expert_load.begin(), expert_load.end());
  for (std::size_t i = 0; i < sum_.size(); ++i) sum_[i] += expert_load[i];
  if (steps_.size() <= kSteps) return;
  for (std::size_t i = 0; i < sum_.size(); ++i) sum_[i] -= steps_.front()[i];
  steps_.pop_front();
}

}  // namespace hadal
