#include "spec/model_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hadal {

float softmax_scale(const ModelConfig& config) {
  double m = 1;
  if (config.rope_scaling) m = 0.1 * config.rope_scaling->mscale_all_dim * std::log(config.rope_scaling->factor) + 1;
  return static_cast<float>(m * m / std::sqrt(static_cast<double>(config.qk_head_dim())));
}

namespace {

// Wavelengths that the original context holds often enough stay, long ones are stretched (MODELS.md 1.3).
double llama3_frequency(const Llama3Scaling& scaling, double f) {
  const double wavelength = 2 * std::numbers::pi / f, original = scaling.original_max_position_embeddings;
  if (wavelength < original / scaling.high_freq_factor) return f;
  if (wavelength > original / scaling.low_freq_factor) return f / scaling.factor;
  const double s =
      (original / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - s) * f / scaling.factor + s * f;
}

}  // namespace

std::vector<float> rope_inverse_frequencies(const ModelConfig& config) {
  const int d = config.rope_dim();
  const double base = config.rope_theta;
  std::vector<float> frequencies;
  double low = 0, high = 0;
  if (const auto& yarn = config.rope_scaling) {
    const auto dim_of = [&](double rotations) {
      return d * std::log(yarn->original_max_position_embeddings / (2 * std::numbers::pi * rotations)) /
             (2 * std::log(base));
    };
    low = std::max(std::floor(dim_of(yarn->beta_fast)), 0.0);
    high = std::min(std::ceil(dim_of(yarn->beta_slow)), d - 1.0);
    if (low == high) high += 0.001;
  }
  for (int i = 0; i < d / 2; ++i) {
    double f = std::pow(base, -2.0 * i / d);
    if (config.llama3_scaling) f = llama3_frequency(*config.llama3_scaling, f);
    if (!config.rope_frequency_divisors.empty())
      f /= static_cast<double>(config.rope_frequency_divisors[static_cast<std::size_t>(i)]);
    const double keep = config.rope_scaling ? 1 - std::clamp((i - low) / (high - low), 0.0, 1.0) : 1.0;
    const double factor = config.rope_scaling ? config.rope_scaling->factor : 1.0;
    frequencies.push_back(static_cast<float>(f / factor * (1 - keep) + f * keep));
  }
  return frequencies;
}

}  // namespace hadal
