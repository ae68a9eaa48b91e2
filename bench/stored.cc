// Products of a few rows with stored blocks out of the second-level cache, on one core: nanoseconds for 256 values of
// W, rows apart as files have them against tiles of sixteen (base/interleaved_rows.h).
//
//   bench_stored [rounds]
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/interleaved_rows.h"
#include "base/rng.h"
#include "kernels/kernel_table.h"

namespace hadal {
namespace {

constexpr int kOutputs = 512, kInputs = 2048, kMostRows = 8;  // 0.6 MB of Q4_K, 1.1 MB of Q8_0
constexpr std::array kTypes = {DType::q4_0, DType::q4_k, DType::q5_0, DType::q5_k, DType::q6_k, DType::q8_0};
constexpr std::array kRows = {1, 2, 4, 8};

struct Activations {
  std::vector<std::int8_t> codes = std::vector<std::int8_t>(kMostRows * kInputs);
  std::vector<float> scales = std::vector<float>(kMostRows * kInputs / 16), sums = scales;
  CodedRow rows[kMostRows];

  explicit Activations(void (*code)(const float* x, int k, const CodedRow& to)) {
    std::vector<float> x(kInputs);
    Rng rng(1);
    for (int r = 0; r < kMostRows; ++r) {
      for (float& v : x) v = static_cast<float>(rng.next_normal());
      rows[r] = {codes.data() + r * kInputs, scales.data() + r * kInputs / 16, sums.data() + r * kInputs / 16};
      code(x.data(), kInputs, rows[r]);
    }
  }
};

// Of the best of all rounds, in which both orders take turns.
void measure(const KernelTable& kernels, DType dtype, int rounds) {
  const std::size_t row_bytes = size_bytes(dtype, kInputs);
  std::vector<std::byte> apart(kOutputs * row_bytes), tiles(apart.size());
  Rng rng(2);
  for (std::byte& b : apart) b = static_cast<std::byte>(rng.next_below(100));  // whatever the codes: no scale is huge
  for (std::size_t at = 0; at < apart.size(); at += kTileRows * row_bytes)
    interleave_rows(dtype, apart.data() + at, row_bytes, tiles.data() + at);
  std::vector<float> y(kMostRows * kOutputs);
  const StoredKernels& stored = *kernels.stored(dtype);
  const Activations in_blocks(kernels.code_row), in_units(kernels.code_units);
  const auto dot = stored.dot_units ? stored.dot_units : stored.dot;  // as matmul.cc chooses
  std::string line = fmt::format("| {} |", name_of(dtype));
  for (const int rows : kRows) {
    double best[2] = {1e9, 1e9};
    for (int round = 0; round < rounds; ++round)
      for (const bool interleaved : {false, true}) {
        const Stopwatch watch;
        const Activations& x = stored.dot_units && !interleaved ? in_units : in_blocks;
        (interleaved ? stored.dot_interleaved : dot)((interleaved ? tiles : apart).data(), row_bytes, kOutputs, kInputs,
                                                     x.rows, rows, y.data(), kOutputs, false);
        best[interleaved] = std::min(best[interleaved], watch.elapsed().count());
      }
    const double blocks = kOutputs * kInputs / 256.0;
    line += fmt::format(" {:.1f} / {:.1f} |", best[0] * 1e9 / blocks, best[1] * 1e9 / blocks);
    if (rows == kRows.front()) {
      const double bytes = static_cast<double>(apart.size()) * 1e-9;
      line += fmt::format(" {:.0f} / {:.0f} |", bytes / best[0], bytes / best[1]);
    }
  }
  fmt::print("{}\n", line);
}

int run(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 300;
  const KernelTable& kernels = *kernels_for(best_isa());
  fmt::print("{}: ns for 256 values of W, rows apart / in tiles, by rows of x\n\n", isa_name(kernels.isa));
  fmt::print("| | 1 | GB/s a core | 2 | 4 | 8 |\n|---|---|---|---|---|---|\n");
  for (const DType dtype : kTypes) measure(kernels, dtype, rounds);
  return 0;
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) {
  return hadal::run(argc, argv);
}
