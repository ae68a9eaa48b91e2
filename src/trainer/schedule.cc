#include "trainer/schedule.h"

#include <algorithm>
#include <cmath>

namespace hadal {

double learning_rate_factor(const ScheduleRecipe& s, double progress) {
  progress = std::clamp(progress, 0.0, 1.0);
  if (progress < s.warmup) return progress / s.warmup;
  const auto down = [&](double begin) {  // 1 at `begin`, 0 at the end of the stage
    return begin >= 1 ? 1.0 : std::clamp((1 - progress) / (1 - begin), 0.0, 1.0);
  };
  switch (s.kind) {
    case ScheduleKind::constant:
      return 1;
    case ScheduleKind::linear:
      return s.final_ratio + (1 - s.final_ratio) * down(s.warmup);
    case ScheduleKind::cosine: {
      const double done = 1 - down(s.warmup);
      return s.final_ratio + (1 - s.final_ratio) * 0.5 * (1 + std::cos(3.141592653589793 * done));
    }
    case ScheduleKind::wsd:
      return s.final_ratio + (1 - s.final_ratio) * down(std::max(s.warmup, 1 - s.decay));
  }
  return 1;
}

}  // namespace hadal
