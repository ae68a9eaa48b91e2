// Number formats: bf16, f16, fp8 e4m3 and e8m0 by exhaustion, random numbers by their promises.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "base/bf16.h"
#include "base/f16.h"
#include "base/fp8.h"
#include "base/rng.h"

namespace hadal {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Bf16, EveryValueSurvivesTheWayThroughFloat) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const bf16 x{static_cast<std::uint16_t>(bits)};
    if (std::isnan(to_float(x)))
      EXPECT_TRUE(std::isnan(to_float(to_bf16(to_float(x)))));
    else
      EXPECT_EQ(to_bf16(to_float(x)), x);
  }
}

TEST(Bf16, RoundsTiesToEven) {
  EXPECT_EQ(to_bf16(1.0f + 0x1p-8f).bits, 0x3f80);             // halfway, down to the even one
  EXPECT_EQ(to_bf16(1.0f + 3 * 0x1p-8f).bits, 0x3f82);         // halfway, up to the even one
  EXPECT_EQ(to_bf16(1.0f + 0x1p-8f + 0x1p-20f).bits, 0x3f81);  // beyond halfway
  EXPECT_EQ(to_float(to_bf16(std::numeric_limits<float>::max())), kInf);
}

// The definition, by arithmetic on the fields.
double e4m3_by_definition(unsigned bits) {
  const int exponent = static_cast<int>(bits >> 3 & 15), mantissa = static_cast<int>(bits & 7);
  const double magnitude =
      exponent == 0 ? mantissa * std::pow(2.0, -9) : (1 + mantissa / 8.0) * std::pow(2.0, exponent - 7);
  return bits & 0x80 ? -magnitude : magnitude;
}

TEST(Fp8, TableIsTheDefinition) {
  for (unsigned bits = 0; bits < 256; ++bits) {
    const float x = to_float(fp8_e4m3{static_cast<std::uint8_t>(bits)});
    if ((bits & 0x7f) == 0x7f)
      EXPECT_TRUE(std::isnan(x));
    else
      EXPECT_EQ(x, e4m3_by_definition(bits)) << bits;
  }
  EXPECT_EQ(to_float(fp8_e4m3{0x7e}), 448.0f);
  EXPECT_TRUE(std::signbit(to_float(fp8_e4m3{0x80})));
}

TEST(Fp8, EveryValueSurvivesTheWayThroughFloat) {
  for (unsigned bits = 0; bits < 256; ++bits) {
    const fp8_e4m3 x{static_cast<std::uint8_t>(bits)};
    if ((bits & 0x7f) == 0x7f) continue;  // a NaN keeps no sign
    EXPECT_EQ(to_fp8_e4m3(to_float(x)), x) << bits;
  }
}

TEST(Fp8, RoundsToTheNearestAndTiesToEven) {
  for (unsigned bits = 0; bits < 0x7e; ++bits) {
    const double low = e4m3_by_definition(bits), high = e4m3_by_definition(bits + 1), middle = (low + high) / 2;
    const auto rounded = [](double x) { return static_cast<unsigned>(to_fp8_e4m3(static_cast<float>(x)).bits); };
    EXPECT_EQ(rounded(middle), bits % 2 == 0 ? bits : bits + 1) << bits;
    EXPECT_EQ(rounded(middle - (high - low) * 1e-3), bits) << bits;
    EXPECT_EQ(rounded(middle + (high - low) * 1e-3), bits + 1) << bits;
    EXPECT_EQ(rounded(-middle - (high - low) * 1e-3), (bits + 1) | 0x80) << bits;
  }
}

TEST(Fp8, SaturatesAndKeepsNan) {
  for (float x : {448.0f, 449.0f, 464.0f, 480.0f, 1e30f, kInf}) {
    EXPECT_EQ(to_float(to_fp8_e4m3(x)), 448.0f) << x;
    EXPECT_EQ(to_float(to_fp8_e4m3(-x)), -448.0f) << x;
  }
  EXPECT_TRUE(std::isnan(to_float(to_fp8_e4m3(kNan))));
  EXPECT_EQ(to_fp8_e4m3(0x1p-30f).bits, 0);
  static_assert(to_fp8_e4m3(1.0f).bits == 0x38);
}

TEST(Fp8, ScalesArePowersOfTwo) {
  for (unsigned bits = 0; bits < 255; ++bits)
    EXPECT_EQ(to_float(fp8_e8m0{static_cast<std::uint8_t>(bits)}), std::ldexp(1.0, static_cast<int>(bits) - 127))
        << bits;
  EXPECT_TRUE(std::isnan(to_float(fp8_e8m0{255})));
}

TEST(F16, EveryValueIsTheDefinition) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const float x = to_float(f16{static_cast<std::uint16_t>(bits)});
    const int exponent = static_cast<int>(bits >> 10 & 31), mantissa = static_cast<int>(bits & 1023);
    if (exponent == 31) {
      EXPECT_TRUE(mantissa == 0 ? std::isinf(x) : std::isnan(x));
      continue;
    }
    const double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    ASSERT_EQ(x, bits & 0x8000 ? -magnitude : magnitude) << bits;
  }
}

TEST(Rng, SameSeedSameStreamAndTheCounterResumesIt) {
  Rng a(7), b(7);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(a.next_u64(), b.next_u64());
  Rng resumed(7, a.counter());
  EXPECT_EQ(a.next_u64(), resumed.next_u64());
  EXPECT_NE(Rng(7).next_u64(), Rng(8).next_u64());
}

TEST(Rng, IsTheSameOnEveryMachine) {  // a snapshot: recorded data and seeds must stay reproducible
  Rng rng(42);
  EXPECT_EQ(rng.next_u64(), 0x57e1faba65107204u);  // by the formula, computed apart
  EXPECT_EQ(rng.next_u64(), 0xf4abd143feb24055u);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 100000; ++i) EXPECT_TRUE(seen.insert(rng.next_u64()).second);
}

TEST(Rng, BoundsHoldAndAllValuesOccur) {
  Rng rng(3);
  std::vector<int> counts(7, 0);
  for (int i = 0; i < 7000; ++i) {
    const std::int64_t x = rng.next_in(-3, 3);
    ASSERT_GE(x, -3);
    ASSERT_LE(x, 3);
    ++counts[static_cast<std::size_t>(x + 3)];
  }
  for (int count : counts) EXPECT_NEAR(count, 1000, 150);  // 5 sigma of a fair draw: 146
}

TEST(Rng, NormalNumbersHaveMeanZeroAndDeviationOne) {
  Rng rng(5);
  double sum = 0, square = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.next_normal();
    ASSERT_TRUE(std::isfinite(x));
    sum += x;
    square += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.016);          // 5 sigma of the mean
  EXPECT_NEAR(square / kDraws, 1, 5 * 0.0045);  // 5 sigma of the variance
}

}  // namespace
}  // namespace hadal
