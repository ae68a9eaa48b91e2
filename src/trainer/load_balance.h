// Loss-free balancing: after a step, over-loaded experts' bias goes down and under-loaded ones' up.
//
// MODELS.md 11.2, equations 16-20 of the V3 report. The bias only steers the choice of experts; gradients never touch
// it.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "trainer/training_model.h"

namespace hadal {

// b_i += gamma * sign(mean load - load_i) on every router_bias slot. expert_load: [moe layers, E] in slot order.
void update_router_bias(std::span<const ParameterSlot> slots, std::span<const std::int64_t> expert_load, double gamma,
                        std::span<float> parameters);

// The worst layer's largest load over its mean; 1 is perfect balance, 0 when there is no expert.
double max_over_mean_load(std::span<const std::int64_t> expert_load, int n_routed_experts);

// The loads of the last steps together: what one batch is about favours some experts, and the bias can only balance
// what stays. A run that was resumed begins afresh. One thread.
class RecentLoad {
 public:
  static constexpr std::size_t kSteps = 50;
  // Loads of all steps have the same length; a step that learned nothing has none and is passed over.
  void add(std::span<const std::int64_t> expert_load);
  // [moe layers, E] over the last kSteps steps, or as many as there were.
  std::span<const std::int64_t> sum() const { return sum_; }

 private:
  std::deque<std::vector<std::int64_t>> steps_;
  std::vector<std::int64_t> sum_;
};

}  // namespace hadal
