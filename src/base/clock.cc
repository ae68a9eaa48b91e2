#include "base/clock.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace hadal {

std::string format_duration(Seconds duration) {
  const double s = std::isfinite(duration.count()) ? std::clamp(duration.count(), 0.0, 1e9) : 0.0;
  if (s < 0.9995) return fmt::format("{:.0f} ms", s * 1000);
  if (s < 99.95) return fmt::format("{:.1f} s", s);
  const long long whole = std::llround(s);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const long long minutes = std::llround(s / 60);
  if (minutes < 48 * 60) return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
  return fmt::format("{} d {} h", minutes / 1440, minutes % 1440 / 60);
}

std::string format_bytes(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (bytes >= 1023.95 && unit < 4) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

}  // namespace hadal
