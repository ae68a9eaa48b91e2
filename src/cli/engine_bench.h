// Measures the engine as users meet it: whole requests through step(), scheduling and sampling included.
//
// Prompts are random tokens, so that nothing is found in the prefix cache unless it is meant to be; answers never
// stop by themselves. What a step must read and compute is worked out from the config. One thread.
#pragma once

#include <functional>
#include <vector>

#include "base/result.h"
#include "engine/forward_model.h"
#include "spec/open_checkpoint.h"

namespace hadal {

struct BenchPlan {
  std::vector<int> prefill_tokens, depths, batches;
  int decode_tokens = 64;
  int longest() const;  // context that the plan needs
};

struct BenchRow {
  bool prefill = false;
  int tokens = 0;  // prefill: of the prompt; decode: of each answer
  int depth = 0;   // tokens that were cached before
  int batch = 1;
  double tokens_per_second = 0;  // of all sequences together
  double flops_per_token = 0;
  double bytes_per_step = 0;  // decode: weights and latents that one step reads; prefill: 0
  double flops() const { return tokens_per_second * flops_per_token; }
  double bytes_per_second() const { return bytes_per_step * tokens_per_second / batch; }
};

// Forward pass: two operations a weight that is multiplied, and attention over `context` positions in the order that
// keeps keys and values expanded.
double forward_flops_per_token(const ModelConfig& config, double context);

// What a model's weights are as they are computed with: stored blocks as the file has them, the rest packed.
struct WeightTraffic {
  double every_step = 0;      // bytes outside the routed experts
  double routed_experts = 0;  // bytes of all of them
};
WeightTraffic weight_traffic(const Checkpoint& checkpoint, Arithmetic arithmetic);

// What one decode step of `batch` sequences at `depth` reads: every weight outside the routed experts, the experts that
// are met if they are chosen evenly, and each sequence's cache rows.
double decode_bytes_per_step(const WeightTraffic& weights, const ModelConfig& config, Arithmetic arithmetic, int batch,
                             int depth);

// The rows of `plan`, prefill first; `visit` gets each as it is measured, the best of a few runs.
Status measure_engine(ForwardModel& model, const Checkpoint& checkpoint, const BenchPlan& plan,
                      const std::function<Status(const BenchRow&)>& visit);

}  // namespace hadal
