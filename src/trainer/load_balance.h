// Loss-free balancing: after a step, over-loaded experts' bias goes down and under-loaded ones' up.
//
// MODELS.md 11.2, equations 16-20 of the V3 report. The bias only steers the choice of experts; gradients never touch
// it.
#pragma once

#include <cstdint>
#include <span>

#include "trainer/training_model.h"

namespace hadal {

// b_i += gamma * sign(mean load - load_i) on every router_bias slot. expert_load: [moe layers, E] in slot order.
void update_router_bias(std::span<const ParameterSlot> slots, std::span<const std::int64_t> expert_load, double gamma,
                        std::span<float> parameters);

// The worst layer's largest load over its mean; 1 is perfect balance, 0 when there is no expert.
double max_over_mean_load(std::span<const std::int64_t> expert_load, int n_routed_experts);

}  // namespace hadal
