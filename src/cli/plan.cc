// `hadal plan MODEL`: will it fit, how fast will it be, what will it cost here; before anything is loaded.
//
// Memory is added up from the files' own tensors. Speed is predicted from products with some of the model's own
// weights, measured now: what decoding and prompts then lose around them (norms, attention, sampling, threads that
// meet) is taken from measurements of whole models (docs/kernels.md).
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/clock.h"
#include "base/free_memory.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/rng.h"
#include "chat/cache_plan.h"
#include "chat/model_files.h"
#include "cli/answer_session.h"
#include "cli/engine_bench.h"
#include "cli/shared_options.h"
#include "kernels/matmul.h"

namespace hadal {
namespace {

constexpr const char* kExamples =
    "\nExamples:\n"
    "  hadal plan model.gguf\n"
    "  hadal plan DIR --context 32768 --json\n"
    "\nThe cost is that of electricity, with the watts that `hadal run` assumes.\n";

struct PlanOptions {
  std::string model;
  int context = 0, threads = 0;
  bool json = false;
};

constexpr int kPromptTokens = 512;
constexpr std::size_t kSampleBytes = 512u << 20;  // of weights: more than caches hold
constexpr double kMeasureSeconds = 2;
constexpr std::size_t kExpertsAtOnce = 16;  // matrices of a call: more than threads, so that these share evenly
// Shares of the rates of bare products that whole passes reach (deepseek-v2-lite and qwen-1.5b in q4_k and q8_0).
constexpr double kDecodeShare = 0.95, kPrefillShare = 1.0;

// Products with the model's own matrices as they would be computed with.
class Sample {
 public:
  Sample(const Checkpoint& checkpoint, const Compute& compute) : compute_(compute) {
    const ModelConfig& config = checkpoint.config;
    for (const TensorSpec& spec : tensor_table(config)) {
      if (spec.shape.size() != 2 || spec.layer < 0 || spec.layer >= config.num_hidden_layers || bytes_ > kSampleBytes)
        continue;
      if (spec.role == TensorRole::router || spec.role == TensorRole::k_b_proj || spec.role == TensorRole::kv_b_proj)
        continue;
      const auto view = checkpoint.tensors->find(spec.name);
      PackedMatrix matrix;
      const int outputs = static_cast<int>(spec.shape[0]), inputs = static_cast<int>(spec.shape[1]);
      if (view && is_block(view->dtype)) {
        const StoredRows rows{view->dtype,
                              view->bytes.data(),
                              size_bytes(view->dtype, static_cast<std::size_t>(inputs)),
                              0,
                              outputs,
                              /*transposed=*/false,
                              view->interleaved};
        matrix.refer(compute.arithmetic, outputs, inputs, {&rows, 1});
      } else {
        matrix.allocate(compute.arithmetic, outputs, inputs);
      }
      bytes_ += matrix.bytes();
      multiplies_ += static_cast<double>(outputs) * inputs;
      matrices_.push_back(std::move(matrix));
    }
  }

  // Seconds that products with `rows` rows take, so many matrices a call (experts are): the best round, since others
  // may use the machine too.
  double seconds(int rows, std::size_t at_once) {
    std::size_t widest = 0, longest = 0;
    for (const PackedMatrix& m : matrices_) {
      widest = std::max(widest, static_cast<std::size_t>(m.inputs()));
      longest = std::max(longest, static_cast<std::size_t>(m.outputs()));
    }
    const std::size_t n = static_cast<std::size_t>(rows);
    std::vector<float> x(n * widest), y(at_once * n * longest);
    Rng rng(1);
    for (float& v : x) v = static_cast<float>(rng.next_normal());
    double best = 0;
    const Stopwatch measuring;
    for (int round = 0; round < 4 || measuring.elapsed().count() < kMeasureSeconds; ++round) {
      const Stopwatch watch;
      for (std::size_t first = 0; first < matrices_.size(); first += at_once) {
        std::vector<MatmulJob> jobs;
        for (std::size_t i = first; i < std::min(first + at_once, matrices_.size()); ++i)
          jobs.push_back({.weights = &matrices_[i],
                          .x = x.data(),
                          .x_stride = matrices_[i].inputs(),
                          .y = y.data() + (i - first) * n * longest,
                          .y_stride = matrices_[i].outputs(),
                          .rows = rows});
        matmul(compute_, jobs);
      }
      const double took = watch.elapsed().count();
      if (round == 0 || took < best) best = took;
    }
    return best;
  }
  double bytes() const { return static_cast<double>(bytes_); }
  double flops(int rows) const { return 2 * multiplies_ * rows; }

 private:
  Compute compute_;
  std::vector<PackedMatrix> matrices_;
  std::size_t bytes_ = 0;
  double multiplies_ = 0;
};

struct Plan {
  int context = 0;
  double weights_bytes = 0, cache_bytes = 0, available_bytes = 0;
  double prefill_tokens_per_second = 0, decode_tokens_per_second = 0;
  double dollars_per_million_prompt = 0, dollars_per_million_answer = 0;
  bool fits() const { return weights_bytes + cache_bytes <= available_bytes; }
};

Status run_plan(const PlanOptions& options) {
  HADAL_ASSIGN(const ModelLocation location, find_model(options.model));
  HADAL_ASSIGN(const Checkpoint checkpoint, open_checkpoint(location.path));
  const ModelConfig& config = checkpoint.config;
  if (options.context > config.max_position_embeddings)
    return Error{ErrorKind::invalid, fmt::format("--context: expected at most the model's {}, found {}",
                                                 config.max_position_embeddings, options.context)};
  Plan plan;
  plan.context = options.context > 0 ? options.context : std::min(config.max_position_embeddings, 8192);
  const WeightTraffic traffic = weight_traffic(checkpoint, Arithmetic::fast);
  const double embedding = config.tie_word_embeddings ? 0 : 2.0 * config.vocab_size * config.hidden_size;
  plan.weights_bytes = traffic.every_step + traffic.routed_experts + embedding;
  plan.cache_bytes = 2.0 * config.num_hidden_layers * config.latent_row_width() * plan.context;
  plan.available_bytes = static_cast<double>(available_memory_bytes());
  ThreadPool pool(options.threads);
  if (plan.fits()) {
    const Compute compute = make_compute(pool, Arithmetic::fast);
    Sample sample(checkpoint, compute);
    const double read_rate = sample.bytes() / sample.seconds(1, 1);
    const int rows =  // an expert sees its share of the prompt
        config.n_routed_experts > 0
            ? std::clamp(kPromptTokens * config.num_experts_per_tok / config.n_routed_experts, 1, kPromptTokens)
            : kPromptTokens;
    const double flop_rate =
        sample.flops(rows) / sample.seconds(rows, config.n_routed_experts > 0 ? kExpertsAtOnce : 1);
    plan.decode_tokens_per_second =
        kDecodeShare * read_rate / decode_bytes_per_step(traffic, config, Arithmetic::fast, 1, 0);
    plan.prefill_tokens_per_second = kPrefillShare * flop_rate / forward_flops_per_token(config, kPromptTokens / 2);
    const RunningCost cost = assumed_cost(pool.threads());
    plan.dollars_per_million_prompt = cost.dollars(1e6 / plan.prefill_tokens_per_second);
    plan.dollars_per_million_answer = cost.dollars(1e6 / plan.decode_tokens_per_second);
  }
  if (options.json) {
    write_out(Json{{"model", location.name},
                   {"fits", plan.fits()},
                   {"weights_bytes", plan.weights_bytes},
                   {"context_tokens", plan.context},
                   {"cache_bytes", plan.cache_bytes},
                   {"available_bytes", plan.available_bytes},
                   {"prefill_tokens_per_second", plan.prefill_tokens_per_second},
                   {"decode_tokens_per_second", plan.decode_tokens_per_second},
                   {"dollars_per_million_prompt_tokens", plan.dollars_per_million_prompt},
                   {"dollars_per_million_answer_tokens", plan.dollars_per_million_answer}}
                  .dump() +
              "\n");
    return Done{};
  }
  write_out(fmt::format("{}: {} of weights and {} for a context of {} tokens; {} are free: it {}\n",
                        printable(location.name), format_bytes(plan.weights_bytes), format_bytes(plan.cache_bytes),
                        plan.context, format_bytes(plan.available_bytes), plan.fits() ? "fits" : "does not fit"));
  if (!plan.fits()) return Done{};
  write_out(fmt::format("about {:.0f} tokens/s of a prompt of {}, about {:.1f} tokens/s of an answer, on {} threads\n",
                        plan.prefill_tokens_per_second, kPromptTokens, plan.decode_tokens_per_second, pool.threads()));
  write_out(fmt::format("about ${:.2g} for a million tokens of prompts, ${:.2g} of answers, for electricity alone\n",
                        plan.dollars_per_million_prompt, plan.dollars_per_million_answer));
  return Done{};
}

}  // namespace

void add_plan_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = app.add_subcommand("plan", "Will it fit, how fast will it be, what will it cost here");
  command->footer(kExamples);
  add_model_argument(*command, options->model);
  command->add_option("--context", options->context, "Tokens of a conversation; left out: 8192, or the model's")
      ->check(CLI::Range(1, 1 << 24));
  command->add_option("--threads", options->threads, "Threads; 0 takes all")->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "One JSON object");
  command->callback([options, &result] { result.status = run_plan(*options); });
}

}  // namespace hadal
