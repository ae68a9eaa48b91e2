// The learning rate over a stage, as a share of its peak. A pure function.
#pragma once

#include "trainer/recipe.h"

namespace hadal {

// `progress` in [0, 1]: the share of the stage that is done. Warm-up is linear from 0; then
//   constant: 1;  linear: straight down to final_ratio;  cosine: half a cosine down to it;
//   wsd: 1 until the last `decay` of the stage, then straight down (warm-up, stable, decay).
double learning_rate_factor(const ScheduleRecipe& schedule, double progress);

}  // namespace hadal
