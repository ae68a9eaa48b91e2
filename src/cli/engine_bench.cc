#include "cli/engine_bench.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/clock.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "spec/tensor_table.h"

namespace hadal {
namespace {

constexpr int kBatchTokens = 512;    // rows of a step, as the chat façade has it
constexpr double kMinSeconds = 0.4;  // a measurement is repeated until it has taken so long
constexpr int kMinRuns = 2, kMaxRuns = 200;

// Prompts that no earlier one begins like.
std::vector<TokenId> random_prompt(Rng& rng, int tokens, int vocab_size) {
  std::vector<TokenId> prompt;
  for (int i = 0; i < tokens; ++i)
    prompt.push_back(TokenId{static_cast<std::int32_t>(rng.next_below(static_cast<std::uint64_t>(vocab_size)))});
  return prompt;
}

class EngineBench {
 public:
  EngineBench(Engine& engine, int vocab_size) : engine_(engine), vocab_size_(vocab_size) {}

  // Tokens a second of a prompt of `tokens` behind `depth` cached ones.
  Result<double> prefill(int tokens, int depth) {
    std::vector<TokenId> prompt = random_prompt(rng_, depth, vocab_size_);
    if (depth > 0) HADAL_RETURN_IF_ERROR(answer(prompt, 1));  // its full pages are found by the next one
    const std::vector<TokenId> fresh = random_prompt(rng_, tokens, vocab_size_);
    prompt.insert(prompt.end(), fresh.begin(), fresh.end());
    const Stopwatch watch;
    HADAL_RETURN_IF_ERROR(answer(prompt, 1));
    return tokens / watch.elapsed().count();
  }

  // Tokens a second of `batch` answers together, once each has `depth` tokens behind it.
  Result<double> decode(int tokens, int depth, int batch) {
    std::vector<SequenceId> ids;
    for (int i = 0; i < batch; ++i) {
      HADAL_ASSIGN(const SequenceId id,
                   engine_.add(request(random_prompt(rng_, std::max(1, depth), vocab_size_), tokens + kSlack)));
      ids.push_back(id);
    }
    while (engine_.step().size() < ids.size()) {  // until every prompt is behind
    }
    const Stopwatch watch;
    for (int i = 0; i < tokens; ++i) engine_.step();
    const double seconds = watch.elapsed().count();
    for (const SequenceId id : ids) engine_.abort(id);
    return tokens * batch / seconds;
  }

 private:
  static constexpr int kSlack = 64;  // the first prompts of a batch answer while the last are read

  static EngineRequest request(std::vector<TokenId> prompt, int max_tokens) {
    EngineRequest asked;
    asked.prompt = std::move(prompt);
    asked.max_tokens = max_tokens;
    return asked;
  }
  Status answer(const std::vector<TokenId>& prompt, int max_tokens) {
    HADAL_RETURN_IF_ERROR(engine_.add(request(prompt, max_tokens)));
    while (!engine_.idle()) engine_.step();
    return Done{};
  }

  Engine& engine_;
  int vocab_size_;
  Rng rng_{20261125};
};

// The best of several runs: on a shared machine the others measure the neighbours.
template <class Run>
Result<double> best_of(Run run) {
  const Stopwatch watch;
  double best = 0;
  for (int i = 0; i < kMinRuns || (i < kMaxRuns && watch.elapsed().count() < kMinSeconds); ++i) {
    HADAL_ASSIGN(const double rate, run());
    best = std::max(best, rate);
  }
  return best;
}

}  // namespace

int BenchPlan::longest() const {
  const int depth = depths.empty() ? 0 : *std::max_element(depths.begin(), depths.end());
  const int prompt = prefill_tokens.empty() ? 0 : *std::max_element(prefill_tokens.begin(), prefill_tokens.end());
  return std::max(1, depth) + std::max(prompt, decode_tokens + 64) + kPageTokens;
}

double forward_flops_per_token(const ModelConfig& config, double context) {
  const double embedding = static_cast<double>(config.vocab_size) * config.hidden_size;
  const double multiplied =
      static_cast<double>(count_parameters(config).active) - (config.tie_word_embeddings ? 0 : embedding);
  return 2 * multiplied + 2.0 * config.num_hidden_layers * config.num_attention_heads * context *
                              (config.qk_head_dim() + config.value_head_dim());
}

WeightTraffic weight_traffic(const Checkpoint& checkpoint, Arithmetic arithmetic) {
  const ModelConfig& config = checkpoint.config;
  const double packed = arithmetic == Arithmetic::exact ? 4 : 2;
  WeightTraffic traffic;
  for (const TensorSpec& tensor : tensor_table(config)) {
    if (tensor.layer >= config.num_hidden_layers) continue;
    // Of the embedding a step reads a row; a tied one is the head too.
    if (tensor.role == TensorRole::embed_tokens && !config.tie_word_embeddings) continue;
    if (tensor.role == TensorRole::lm_head && config.tie_word_embeddings) continue;
    const auto view = checkpoint.tensors->find(tensor.name);
    const bool stored = view && is_block(view->dtype);
    const double bytes =
        stored ? static_cast<double>(view->bytes.size()) : packed * static_cast<double>(tensor.elements());
    (tensor.expert >= 0 ? traffic.routed_experts : traffic.every_step) += bytes;
  }
  return traffic;
}

double decode_bytes_per_step(const WeightTraffic& weights, const ModelConfig& config, Arithmetic arithmetic, int batch,
                             int depth) {
  double experts_met = 0;  // share of the routed experts that a step touches
  if (config.n_routed_experts > 0)
    experts_met = 1 - std::pow(1 - static_cast<double>(config.num_experts_per_tok) / config.n_routed_experts, batch);
  const double cached = static_cast<double>(config.num_hidden_layers) * config.latent_row_width() * batch * depth;
  return weights.every_step + experts_met * weights.routed_experts + (arithmetic == Arithmetic::exact ? 4 : 2) * cached;
}

Status measure_engine(ForwardModel& model, const Checkpoint& checkpoint, const BenchPlan& plan,
                      const std::function<Status(const BenchRow&)>& visit) {
  const ModelConfig& config = checkpoint.config;
  const WeightTraffic traffic = weight_traffic(checkpoint, model.compute().arithmetic);
  const int sequences = plan.batches.empty() ? 1 : *std::max_element(plan.batches.begin(), plan.batches.end());
  const int pages = (sequences + 1) * pages_for(plan.longest());
  HADAL_ASSIGN(const std::unique_ptr<Engine> engine, Engine::create(model, {.max_sequences = sequences,
                                                                            .batch_tokens = kBatchTokens,
                                                                            .context_tokens = plan.longest(),
                                                                            .pages = pages}));
  EngineBench bench(*engine, model.vocab_size());
  for (const int depth : plan.depths)
    for (const int tokens : plan.prefill_tokens) {
      HADAL_ASSIGN(const double rate, best_of([&] { return bench.prefill(tokens, depth); }));
      HADAL_RETURN_IF_ERROR(visit({.prefill = true,
                                   .tokens = tokens,
                                   .depth = depth,
                                   .tokens_per_second = rate,
                                   .flops_per_token = forward_flops_per_token(config, depth + 0.5 * tokens)}));
    }
  for (const int depth : plan.depths)
    for (const int batch : plan.batches) {
      HADAL_ASSIGN(const double rate, best_of([&] { return bench.decode(plan.decode_tokens, depth, batch); }));
      const int mean_depth = depth + plan.decode_tokens / 2;
      HADAL_RETURN_IF_ERROR(visit(
          {.tokens = plan.decode_tokens,
           .depth = depth,
           .batch = batch,
           .tokens_per_second = rate,
           .flops_per_token = forward_flops_per_token(config, mean_depth),
           .bytes_per_step = decode_bytes_per_step(traffic, config, model.compute().arithmetic, batch, mean_depth)}));
    }
  return Done{};
}

}  // namespace hadal
