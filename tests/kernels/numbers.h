// What the kernel tests share: seeded numbers, distances between vectors, and
// numeric gradients.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"

namespace hadal::testing {

template <class Real = double>
std::vector<Real> random_values(std::ptrdiff_t count, std::uint64_t seed, double scale = 1) {
  Rng rng(seed);
  std::vector<Real> values(static_cast<std::size_t>(count));
  for (Real& v : values) v = static_cast<Real>(scale * rng.next_normal());
  return values;
}

template <class To, class From>
std::vector<To> converted(const std::vector<From>& from) {
  return std::vector<To>(from.begin(), from.end());
}

// |x - y|_2 / |y|_2
template <class X, class Y>
double difference(const std::vector<X>& x, const std::vector<Y>& y) {
  EXPECT_EQ(x.size(), y.size());
  double distance = 0, norm = 0;
  for (std::size_t i = 0; i < x.size() && i < y.size(); ++i) {
    const double d = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    distance += d * d;
    norm += static_cast<double>(y[i]) * static_cast<double>(y[i]);
  }
  return std::sqrt(distance / norm);
}

// Says where two vectors of floats first differ in a bit.
inline ::testing::AssertionResult same_bits(const std::vector<float>& x, const std::vector<float>& y) {
  if (x.size() != y.size()) return ::testing::AssertionFailure() << x.size() << " values, not " << y.size();
  for (std::size_t i = 0; i < x.size(); ++i)
    if (std::memcmp(&x[i], &y[i], 4) != 0)
      return ::testing::AssertionFailure() << "value " << i << " of " << x.size() << ": " << x[i] << " and " << y[i];
  return ::testing::AssertionSuccess();
}

// The gradient of sum(pull * forward()) at x by central differences of fourth order: error about h^4 + 1e-16 / h, least
// near h = 1e-3. forward() reads x.
inline std::vector<double> numeric_gradient(std::vector<double>& x, const std::vector<double>& pull,
                                            const std::function<std::vector<double>()>& forward) {
  constexpr double h = 1e-3;
  std::vector<double> gradient(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double before = x[i];
    const auto loss = [&](double step) {
      x[i] = before + step;
      const std::vector<double> y = forward();
      double sum = 0;
      for (std::size_t j = 0; j < y.size(); ++j) sum += pull[j] * y[j];
      return sum;
    };
    gradient[i] = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h);
    x[i] = before;
  }
  return gradient;
}

}  // namespace hadal::testing
