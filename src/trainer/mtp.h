// Multi-token prediction as a training loss (DeepSeek-V3 report, 2.2; MODELS.md 5.1):
// from the hidden state of token i and the embedding of token i + 1, one more
// block predicts token i + 2. Embedding and head are shared with the main model.
// The hidden state is the main model's after its final norm, and the order is
// [embedding ; hidden], as the released weights have it.
#pragma once

#include <vector>

#include "trainer/backward.h"
#include "trainer/loss_head.h"
#include "trainer/training_model.h"

namespace hadal {

class MtpLoss {
 public:
  // Adds weight * mean cross-entropy to the loss: gradients of the layer's own parameters and of embedding and head,
  // and d_final_TD += the gradient at the main model's normalised output. Returns the mean cross-entropy, without
  // weight.
  double run(const PassContext& main, PackedParameters& parameters, LossHead& head, const TrainingBatch& batch,
             const float* final_TD, float weight, BalanceLoss& balance, float* d_final_TD, BackwardScratch& scratch);
  // Of the last run, if it found something to predict.
  bool ran() const { return !counted_.empty(); }
  const std::vector<std::int32_t>& first_slot_E() const { return block_.ffn.dispatch.first_slot_E; }

 private:
  void collect(const PassContext& main, const TrainingBatch& batch);
  void forward(const PassContext& main, const PassContext& pass, MtpParameters& p, const ModelWeights& weights,
               const float* final_TD);
  void backward(const PassContext& pass, PackedParameters& parameters, BalanceLoss& balance, float* d_final_TD,
                BackwardScratch& scratch);

  // Row r of this pass is row row_T_[r] of the main one.
  std::vector<Segment> segments_;
  std::vector<std::int32_t> row_T_, counted_, targets_;
  std::vector<TokenId> next_tokens_;
  BlockActivations block_;
  FloatBuffer rope_TR_, embedded_TD_, hidden_TD_, combined_T2D_, embedded_scale_T_, hidden_scale_T_, x_in_TD_,
      x_out_TD_, norm_TD_, norm_scale_T_;
  FloatBuffer d_norm_TD_, d_x_TD_, d_combined_T2D_, d_part_TD_;
};

}  // namespace hadal
