// A model that can be trained: float32 parameters, their gradients, and one call
// that runs the forward code of model/ and the backward pass written by hand.
//
// Parameters and gradients are each one flat array in tensor_table() order, so
// optimisers, clipping and checkpoints are loops over slots. The packed weights
// that the kernels read are refreshed by parameters_changed().
//
// Threads: one caller; the Compute's pool does the work.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "kernels/compute.h"
#include "spec/model_config.h"
#include "spec/tensor_table.h"

namespace hadal {

struct ParameterSlot {
  TensorSpec tensor;
  std::int64_t offset;  // elements into parameters() and gradients()
  bool trained;         // false: e_score_correction_bias, moved by load balancing and not by gradient
};

// Sequences of one step, packed one after another: sequence i has rows [starts[i], starts[i + 1]); none attends
// another, but for prefixes.
struct TrainingBatch {
  std::vector<TokenId> tokens;        // [T]
  std::vector<std::int32_t> targets;  // [T] the token that row must predict; -1: not counted
  std::vector<int> starts;            // [sequences + 1], from 0 to T
  // [sequences] the earlier sequence, one without a prefix itself, that this one goes on from and attends; -1: none.
  // Empty: none of them has one. What sequences share is then computed once.
  std::vector<int> prefixes = {};

  // How targets were drawn by an engine, where the trainer is to see them as it did; else left alone.
  double temperature = 1;              // that logits are divided by
  std::vector<TokenId> kept;           // what targets were drawn from, one row after another;
  std::vector<std::size_t> kept_ends;  // [T] row t's end at kept_ends[t], none: from everything; empty: all rows so
  std::vector<ExpertId> routes;        // [moe layers, T, K] the experts to take; empty: the router chooses
};

struct TrainingLosses {               // what a step adds to the loss besides cross-entropy
  double sequence_balance_alpha = 0;  // MODELS.md 11.2, eq 17-20 of the V3 report; 0 for none
  double mtp_weight = 0;              // lambda of the V3 report; needs num_nextn_predict_layers 1
  // Another loss instead of cross-entropy: its derivative by the log-probability of row t's target. Called by any
  // thread.
  std::function<double(std::size_t t, double log_probability)> slope = nullptr;
};

struct StepResult {
  double loss = 0;  // mean cross-entropy over counted targets
  double balance_loss = 0, mtp_loss = 0;
  std::int64_t counted_targets = 0;
  std::vector<std::int64_t>
      expert_load;  // [moe layers, E] tokens that chose each expert; the MTP block last, zeros if it did not run
};

// Gradients are written for whole latent attention, for grouped queries without norms of heads, and at most one MTP
// layer.
Status check_trainable(const ModelConfig& config, std::string_view subject);

class TrainingModel {
 public:
  // Parameters start at zero; see trainer/initialise.h, and load_parameters() of trainer/training_state.h.
  static Result<std::unique_ptr<TrainingModel>> create(const ModelConfig& config, const Compute& compute);
  ~TrainingModel();

  const ModelConfig& config() const;
  std::span<const ParameterSlot> slots() const;
  std::span<float> parameters();
  std::span<float> gradients();

  // Rows of a tensor of parameters() from `first_row`, as many as fill `out`. Any thread may call it.
  void copy_rows(const TensorSpec& tensor, std::int64_t first_row, std::span<float> out) const;

  // To be called after parameters() were written: packs them for the kernels.
  void parameters_changed();

  // gradients() += d(loss)/d(parameters), loss = mean cross-entropy of the batch (+ the losses asked for). The router's
  // choice of experts is a constant of the step.
  StepResult forward_backward(const TrainingBatch& batch, const TrainingLosses& losses);

  // Forward only: the negative log-likelihood of every target row ([T], 0 where target is -1).
  std::vector<float> negative_log_likelihoods(const TrainingBatch& batch);

  struct Impl;

 private:
  explicit TrainingModel(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hadal
