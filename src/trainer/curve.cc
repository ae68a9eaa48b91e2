#include "trainer/curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace hadal {
namespace {

constexpr std::size_t kPoints = 600;

// At most kPoints means of equal stretches: a long run stays a small page, and the noise is smoothed alike everywhere.
std::vector<CurvePoint> thinned(const std::vector<CurvePoint>& points) {
  if (points.size() <= kPoints) return points;
  std::vector<CurvePoint> out;
  for (std::size_t i = 0; i < kPoints; ++i) {
    const std::size_t begin = points.size() * i / kPoints, end = points.size() * (i + 1) / kPoints;
    CurvePoint mean{0, 0};
    for (std::size_t j = begin; j < end; ++j) mean = {mean.x + points[j].x, mean.y + points[j].y};
    const double n = static_cast<double>(end - begin);
    out.push_back({mean.x / n, mean.y / n});
  }
  return out;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string short_number(double value) {
  const double size = std::abs(value);
  if (size >= 1e6) return fmt::format("{:.1f} M", value * 1e-6);
  if (size >= 1e4) return fmt::format("{:.0f} k", value * 1e-3);
  return size >= 100 ? fmt::format("{:.0f}", value)
         : size >= 1 ? fmt::format("{:.2f}", value)
                     : fmt::format("{:.3g}", value);
}

std::string draw_curve(const std::vector<CurvePoint>& all) {
  const std::vector<CurvePoint> points = thinned(all);
  if (points.empty()) return "<text x=\"50\" y=\"50\">no data</text>";
  std::string svg;
  double low = points[0].y, high = points[0].y;
  for (const CurvePoint& p : points) low = std::min(low, p.y), high = std::max(high, p.y);
  if (high <= low) high = low + std::max(1e-9, std::abs(low) * 0.01);
  const double left = points.front().x, right = std::max(points.back().x, left + 1e-9);
  const auto x_of = [&](double x) {
    return kCurveMargin + (x - left) / (right - left) * (kCurveWidth - kCurveMargin - 8);
  };
  const auto y_of = [&](double y) { return 8 + (high - y) / (high - low) * (kCurveHeight - 36); };
  for (int i = 0; i <= 4; ++i) {
    const double y = low + (high - low) * i / 4;
    svg += fmt::format("<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text x=\"4\" y=\"{:.1f}\">{}</text>",
                       kCurveMargin, kCurveWidth - 8, y_of(y), y_of(y), y_of(y) + 4, short_number(y));
  }
  for (int i = 0; i <= 4; ++i) {
    const double x = left + (right - left) * i / 4;
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                       std::min(x_of(x), kCurveWidth - 24.0), kCurveHeight - 6, short_number(x));
  }
  svg += "<polyline points=\"";
  for (const CurvePoint& p : points) svg += fmt::format("{:.1f},{:.1f} ", x_of(p.x), y_of(p.y));
  return svg + "\"/>";
}

}  // namespace hadal
