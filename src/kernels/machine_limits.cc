#include "kernels/machine_limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "kernels/kernel_table.h"

namespace hadal {
namespace {

// Beyond what caches keep: with 260 MiB of shared L3 a block of 1 GiB gives the same rate.
constexpr std::size_t kBlockBytes = 256u << 20;
constexpr std::size_t kPartBytes = 1u << 20;      // what a thread takes at a time
constexpr std::size_t kHugePageBytes = 2u << 20;  // reads with 4 KiB pages reach two thirds of the rate
constexpr int kReadWindows = 4, kRateWindows = 4;
constexpr int kRounds = 1 << 18;  // of a register-only loop: some milliseconds

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

double read_rate(const Compute& compute) {
  std::unique_ptr<void, Free> block(std::aligned_alloc(kHugePageBytes, kBlockBytes));
  if (!block) return 0;
  madvise(block.get(), kBlockBytes, MADV_HUGEPAGE);
  auto* bytes = static_cast<std::byte*>(block.get());
  constexpr int kParts = static_cast<int>(kBlockBytes / kPartBytes);
  compute.pool->parallel_for(kParts, [&](int part, int) {
    std::fill_n(bytes + static_cast<std::size_t>(part) * kPartBytes, kPartBytes, std::byte{1});
  });
  std::vector<float> sums(kParts);
  double best = 0;
  for (int window = 0; window < kReadWindows; ++window) {
    const Stopwatch watch;
    compute.pool->parallel_for(kParts, [&](int part, int) {
      sums[static_cast<std::size_t>(part)] =
          compute.kernels->read_all(bytes + static_cast<std::size_t>(part) * kPartBytes, kPartBytes);
    });
    best = std::max(best, static_cast<double>(kBlockBytes) / watch.elapsed().count());
  }
  return best;
}

double flop_rate(const Compute& compute, double (*busy)(int rounds)) {
  const int threads = compute.pool->threads();
  std::vector<double> flops(static_cast<std::size_t>(threads));
  double best = 0;
  for (int window = 0; window < kRateWindows; ++window) {
    const Stopwatch watch;
    compute.pool->parallel_for(threads, [&](int i, int) { flops[static_cast<std::size_t>(i)] = busy(kRounds); });
    double sum = 0;
    for (const double part : flops) sum += part;
    best = std::max(best, sum / watch.elapsed().count());
  }
  return best;
}

}  // namespace

MachineLimits measure_machine_limits(const Compute& compute) {
  return {.read_bytes_per_second = read_rate(compute),
          .f32_flops = flop_rate(compute, compute.kernels->busy_f32),
          .bf16_flops = flop_rate(compute, compute.kernels->busy_bf16)};
}

}  // namespace hadal
