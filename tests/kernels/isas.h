// What the tests of the fast kernels share: threads on a chosen instruction set,
// numbers as bf16 rounds them, and rows whose gaps tell who reads or writes beside.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "base/bf16.h"
#include "kernels/compute.h"
#include "kernels/kernel_table.h"

namespace hadal::testing {

// Parameters of tests that hold on each instruction set: those that this processor can run.
inline std::vector<Isa> runnable_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : kIsas)
    if (kernels_for(isa)) isas.push_back(isa);
  return isas;
}
inline std::string isa_of_test(const ::testing::TestParamInfo<Isa>& test) {
  return isa_name(test.param);
}

struct Machine {
  Machine(Isa isa, Arithmetic arithmetic, int threads)
      : pool(threads), compute(make_compute(pool, arithmetic, isa).value()) {}

  ThreadPool pool;
  Compute compute;
};

inline std::vector<float> rounded_to_bf16(std::vector<float> values) {
  for (float& v : values) v = to_float(to_bf16(v));
  return values;
}

inline std::string arithmetic_name(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::exact ? "exact" : "fast";
}

// A matrix whose rows lie apart. The gaps hold a NaN of their own: read, it spreads; written, it is gone. Nothing is
// allocated behind the last row, so that the address sanitizer sees a step beyond it.
class GappedRows {
 public:
  GappedRows(std::ptrdiff_t rows, std::ptrdiff_t width, const std::vector<float>& values = {})
      : rows_(rows),
        width_(width),
        data_(static_cast<std::size_t>(rows > 0 ? (rows - 1) * stride() + width : 0), kGap) {
    for (std::ptrdiff_t r = 0; r < rows; ++r)
      for (std::ptrdiff_t i = 0; i < width; ++i)
        at(r, i) = values.empty() ? 0.0f : values[static_cast<std::size_t>(r * width + i)];
  }

  float* data() { return data_.data(); }
  const float* data() const { return data_.data(); }
  std::ptrdiff_t stride() const { return width_ + kGapWidth; }

  // [rows, width], without the gaps; a failure where one was written.
  std::vector<float> values() const {
    std::vector<float> packed;
    for (std::ptrdiff_t r = 0; r < rows_; ++r) {
      for (std::ptrdiff_t i = 0; i < width_; ++i) packed.push_back(data_[static_cast<std::size_t>(r * stride() + i)]);
      for (std::ptrdiff_t i = width_; r + 1 < rows_ && i < stride(); ++i)
        EXPECT_EQ(std::bit_cast<std::uint32_t>(data_[static_cast<std::size_t>(r * stride() + i)]), kGapBits)
            << "written beside row " << r;
    }
    return packed;
  }

 private:
  static constexpr std::uint32_t kGapBits = 0x7fc12345u;
  static constexpr float kGap = std::bit_cast<float>(kGapBits);
  static constexpr std::ptrdiff_t kGapWidth = 3;
  float& at(std::ptrdiff_t r, std::ptrdiff_t i) { return data_[static_cast<std::size_t>(r * stride() + i)]; }

  std::ptrdiff_t rows_, width_;
  std::vector<float> data_;
};

// As much scratch as a kernel is promised to need, and a guard behind it.
class GuardedScratch {
 public:
  explicit GuardedScratch(std::size_t bytes) : memory_(bytes + 128, kGuard) {
    begin_ = memory_.data() + (64 - reinterpret_cast<std::uintptr_t>(memory_.data()) % 64) % 64;
    end_ = begin_ + bytes;
  }
  std::byte* begin() { return begin_; }
  bool guard_is_whole() const {
    const std::byte* end = memory_.data() + memory_.size();
    return std::all_of<const std::byte*>(end_, end, [](std::byte b) { return b == kGuard; });
  }

 private:
  static constexpr std::byte kGuard{0xa5};
  std::vector<std::byte> memory_;
  std::byte *begin_, *end_;
};

}  // namespace hadal::testing
