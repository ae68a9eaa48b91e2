#include "kernels/rope.h"

#include <cmath>

namespace hadal {

void rope_angles(std::span<const float> frequencies, int position, float* cos_sin) {
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = static_cast<double>(position) * static_cast<double>(frequencies[i]);
    cos_sin[2 * i] = static_cast<float>(std::cos(angle));
    cos_sin[2 * i + 1] = static_cast<float>(std::sin(angle));
  }
}

void rope_rotate(const float* cos_sin, int pairs, int direction, float* x) {
  const float sign = static_cast<float>(direction);
  for (int i = 0; i < pairs; ++i) {
    const float c = cos_sin[2 * i], s = sign * cos_sin[2 * i + 1];
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * c - b * s;
    x[2 * i + 1] = a * s + b * c;
  }
}

void rope_rotate_halves(const float* cos_sin, int pairs, int direction, float* x) {
  const float sign = static_cast<float>(direction);
  for (int i = 0; i < pairs; ++i) {
    const float c = cos_sin[2 * i], s = sign * cos_sin[2 * i + 1];
    const float a = x[i], b = x[pairs + i];
    x[i] = a * c - b * s;
    x[pairs + i] = a * s + b * c;
  }
}

}  // namespace hadal
