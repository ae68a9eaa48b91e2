// The vocabulary end of training: normalised rows to logits, to cross-entropy,
// and back. Shared by the main model and multi-token prediction. The full logits
// never exist: some rows go through at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/buffer.h"
#include "trainer/packed_parameters.h"

namespace hadal {

struct LossHeadCall {
  const float* rows_TD;                   // normalised hidden states
  std::span<const std::int32_t> rows;     // [R] which of them are counted
  std::span<const std::int32_t> targets;  // [R] their tokens
  float factor;                           // on the gradient of each row's loss
  float* d_rows_TD;                       // += gradient at those rows; null: forward only
  std::span<float> nll;                   // [R] negative log-likelihoods, or empty
  // Of TrainingBatch and TrainingLosses, by row of rows_TD.
  double temperature = 1;
  std::span<const TokenId> kept = {};
  std::span<const std::size_t> kept_ends = {};
  const std::function<double(std::size_t, double)>* slope = nullptr;
};

class LossHead {
 public:
  // Returns the sum of the negative log-likelihoods; adds the head's weight gradient.
  double run(const Compute& compute, const ModelConfig& config, PackedParameters& parameters, const LossHeadCall& call);

 private:
  double row_loss(const Compute& compute, const LossHeadCall& call, std::size_t at, float* logits, int vocab) const;

  FloatBuffer logits_RV_, d_RD_;
  std::vector<double> losses_;
};

}  // namespace hadal
