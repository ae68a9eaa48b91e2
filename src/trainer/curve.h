// One curve as SVG, and texts as they stand in it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hadal {

inline constexpr int kCurveWidth = 720, kCurveHeight = 240;
inline constexpr int kCurveMargin = 48;  // where the curve begins, right of its figures

struct CurvePoint {
  double x, y;
};

// The elements of a drawing of kCurveWidth by kCurveHeight: grid, figures at the axes, the curve. `points` are finite.
std::string draw_curve(const std::vector<CurvePoint>& points);

// "4.20", "1.3 M": three or four significant figures.
std::string short_number(double value);

// With &, <, > and quotes as XML has them.
std::string escaped(std::string_view text);

}  // namespace hadal
