#include "trainer/loss_head.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/kernel_table.h"

namespace hadal {
namespace {

std::size_t size(std::int64_t a, std::int64_t b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

// Logits of this many rows exist at once: 8 MB at a vocabulary of 4096.
constexpr int kRows = 512;

}  // namespace

double LossHead::run(const Compute& compute, const ModelConfig& config, PackedParameters& parameters,
                     const LossHeadCall& call) {
  const int d = config.hidden_size, vocab = config.vocab_size, counted = static_cast<int>(call.rows.size());
  HADAL_CHECK(call.targets.size() == call.rows.size());
  const bool backward = call.d_rows_TD != nullptr;
  float* logits = logits_RV_.ensure(size(std::min(counted, kRows), vocab));
  float* d_rows = d_RD_.ensure(size(std::min(counted, kRows), d));
  losses_.resize(call.rows.size());
  for (int first = 0; first < counted; first += kRows) {
    const int n = std::min(kRows, counted - first);
    const std::int32_t* rows = call.rows.data() + first;
    matmul(compute, {.weights = &parameters.weights.lm_head,
                     .x = call.rows_TD,
                     .x_stride = d,
                     .y = logits,
                     .y_stride = vocab,
                     .rows = n,
                     .x_rows = rows});
    compute.pool->parallel_for(n, [&](int i, int) {
      float* row = logits + static_cast<std::ptrdiff_t>(i) * vocab;
      const auto at = static_cast<std::size_t>(first + i);
      const std::int32_t target = call.targets[at];
      const float wanted = row[target];
      losses_[at] = static_cast<double>(compute.kernels->softmax(row, vocab)) - static_cast<double>(wanted);
      row[target] -= 1.0f;
      if (backward) compute.kernels->scale(row, call.factor, vocab);
    });
    if (!backward) continue;
    matmul(compute, {.weights = &parameters.lm_head_transposed,
                     .x = logits,
                     .x_stride = vocab,
                     .y = d_rows,
                     .y_stride = d,
                     .rows = n});
    for (int i = 0; i < n; ++i)
      compute.kernels->add_scaled(d_rows + static_cast<std::ptrdiff_t>(i) * d, 1.0f, d,
                                  call.d_rows_TD + static_cast<std::ptrdiff_t>(rows[i]) * d);
    const WeightGradientJob job{.dy = logits,
                                .dy_stride = vocab,
                                .x = call.rows_TD,
                                .x_stride = d,
                                .dw = parameters.d_lm_head,
                                .dw_stride = d,
                                .rows = n,
                                .outputs = vocab,
                                .inputs = d,
                                .x_rows = rows};
    weight_gradient(compute, std::span(&job, 1));
  }
  double sum = 0;
  for (std::size_t i = 0; i < losses_.size(); ++i) {
    sum += losses_[i];
    if (!call.nll.empty()) call.nll[i] = static_cast<float>(losses_[i]);
  }
  return sum;
}

}  // namespace hadal
