// One training step of the 20 M-parameter shape: forward, backward, clipping, AdamW (or Muon), beside the GEMM rates
// of this machine measured in the same run, because an absolute figure from a shared machine means little.
//
//   bench_train_step [seconds] [threads]      both optional: 20 s, all threads
//
// Question: how near is a training step to the matrix rate, and where does the rest go?
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "measure.h"
#include "trainer/initialise.h"
#include "trainer/optimizer.h"
#include "trainer/training_model.h"
#include "trainer/training_run.h"

namespace hadal {
namespace {

constexpr int kSequences = 8, kSequenceTokens = 512, kTokens = kSequences * kSequenceTokens;

ModelConfig twenty_million() {
  ModelConfig c;
  c.vocab_size = 4096;
  c.hidden_size = 256;
  c.intermediate_size = 768;
  c.moe_intermediate_size = 128;
  c.num_hidden_layers = 6;
  c.num_attention_heads = 4;
  c.kv_lora_rank = 64;
  c.qk_nope_head_dim = 32;
  c.qk_rope_head_dim = 16;
  c.v_head_dim = 32;
  c.n_routed_experts = 32;
  c.n_shared_experts = 1;
  c.num_experts_per_tok = 4;
  c.first_k_dense_replace = 1;
  c.max_position_embeddings = kSequenceTokens;
  return c;
}

TrainingBatch random_batch() {
  TrainingBatch batch;
  Rng rng(1);
  for (int t = 0; t < kTokens; ++t) {
    batch.tokens.push_back(TokenId{static_cast<std::int32_t>(rng.next_below(4096))});
    batch.targets.push_back(static_cast<std::int32_t>(rng.next_below(4096)));
  }
  for (int s = 0; s <= kSequences; ++s) batch.starts.push_back(s * kSequenceTokens);
  return batch;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

struct Measured {
  std::vector<double> forward_backward, optimizer, pack, bf16, f32;
};

void measure(OptimizerKind kind, double seconds, ThreadPool& pool) {
  const Compute fast = make_compute(pool, Arithmetic::fast), exact = make_compute(pool, Arithmetic::exact);
  auto created = TrainingModel::create(twenty_million(), fast);
  HADAL_CHECK(created.ok());
  TrainingModel& model = **created;
  initialise(model.slots(), 1, 0.03, pool, model.parameters());
  model.parameters_changed();
  Optimizer optimizer(fast, model.slots(), kind);
  OptimizerRecipe recipe;
  recipe.kind = kind;
  recipe.learning_rate = 1e-4;
  const TrainingBatch batch = random_batch();
  Measured m;
  const Stopwatch all;
  for (int step = 0; step < 3 || all.elapsed().count() < seconds; ++step) {
    Stopwatch watch;
    model.forward_backward(batch, {});
    const double forward_backward = watch.elapsed().count();
    optimizer.step(recipe, 1.0, optimizer.gradient_norm(model.gradients()), model.parameters(), model.gradients());
    const double updated = watch.elapsed().count();
    model.parameters_changed();
    const double packed = watch.elapsed().count();
    const double bf16 = 1e-9 * gemm_rate(fast, kTokens), f32 = 1e-9 * gemm_rate(exact, kTokens);
    if (step < 1) continue;  // the first touches the memory
    m.forward_backward.push_back(forward_backward);
    m.optimizer.push_back(updated - forward_backward);
    m.pack.push_back(packed - updated);
    m.bf16.push_back(bf16);
    m.f32.push_back(f32);
  }
  const double step = median(m.forward_backward) + median(m.optimizer) + median(m.pack);
  const double flops = training_flops_per_token(twenty_million(), (kSequenceTokens + 1) / 2.0);
  const double rate = kTokens / step, gflops = rate * flops * 1e-9;
  fmt::print(
      "{}: {:.0f} tokens/s, {:.0f} GFLOP/s at {:.1f} MFLOP a token: {:.0f} % of the bf16 rate ({:.0f}), {:.0f} % of "
      "the f32 rate ({:.0f})\n",
      kind == OptimizerKind::adamw ? "AdamW" : "Muon", rate, gflops, flops * 1e-6, 100 * gflops / median(m.bf16),
      median(m.bf16), 100 * gflops / median(m.f32), median(m.f32));
  fmt::print(
      "  forward and backward {:.0f} ms, optimiser {:.0f} ms, packing {:.0f} ms; medians of {} steps, {} threads, {}\n",
      1e3 * median(m.forward_backward), 1e3 * median(m.optimizer), 1e3 * median(m.pack), m.pack.size(), pool.threads(),
      isa_name(best_isa()));
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 20;
  hadal::ThreadPool pool(argc > 2 ? std::atoi(argv[2]) : 0);
  hadal::measure(hadal::OptimizerKind::adamw, seconds / 2, pool);
  hadal::measure(hadal::OptimizerKind::muon, seconds / 2, pool);
}
