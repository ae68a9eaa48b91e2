#include "trainer/loss_head.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "kernels/kernel_table.h"

namespace hadal {
namespace {

// Logits of this many rows exist at once: 8 MB at a vocabulary of 4096.
constexpr int kRows = 512;

// Everything else cannot be drawn. An empty list keeps all.
void keep_only(std::span<const TokenId> kept, float* logits, int vocab) {
  if (kept.empty()) return;
  std::vector<float> values;
  for (const TokenId token : kept) values.push_back(logits[index(token)]);
  std::fill_n(logits, vocab, -std::numeric_limits<float>::infinity());
  for (std::size_t i = 0; i < kept.size(); ++i) logits[index(kept[i])] = values[i];
}

}  // namespace

// The row's negative log-likelihood; its logits become their gradient.
double LossHead::row_loss(const Compute& compute, const LossHeadCall& call, std::size_t at, float* logits,
                          int vocab) const {
  const std::int32_t target = call.targets[at];
  if (call.temperature != 1) compute.kernels->scale(logits, static_cast<float>(1 / call.temperature), vocab);
  const auto t = static_cast<std::size_t>(call.rows[at]);
  if (!call.kept_ends.empty()) {
    const std::size_t begin = t == 0 ? 0 : call.kept_ends[t - 1];
    keep_only(call.kept.subspan(begin, call.kept_ends[t] - begin), logits, vocab);
  }
  const float wanted = logits[target];
  const double loss = static_cast<double>(compute.kernels->softmax(logits, vocab)) - static_cast<double>(wanted);
  if (call.d_rows_TD == nullptr) return loss;
  logits[target] -= 1.0f;
  const double factor =
      call.slope ? -(*call.slope)(t, -loss) * static_cast<double>(call.factor) : static_cast<double>(call.factor);
  compute.kernels->scale(logits, static_cast<float>(factor / call.temperature), vocab);
  return loss;
}

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
      const auto at = static_cast<std::size_t>(first + i);
      losses_[at] = row_loss(compute, call, at, logits + static_cast<std::ptrdiff_t>(i) * vocab, vocab);
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
