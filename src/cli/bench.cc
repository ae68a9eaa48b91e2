// `hadal bench`: tokens a second, beside what this machine could do at best in the same minute.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/free_memory.h"
#include "base/json.h"
#include "chat/model_files.h"
#include "cli/engine_bench.h"
#include "cli/shared_options.h"
#include "kernels/machine_limits.h"

namespace hadal {
namespace {

constexpr const char* kExamples =
    "\nExamples:\n"
    "  hadal bench                                          the built-in model\n"
    "  hadal bench MODEL --prefill 512,2048 --depth 0,4096 --batch 1,2,4,8\n"
    "  hadal bench --exact --json\n"
    "\nEach row is the best of several runs; the limits are measured before, between and after them. A model that "
    "fits\n"
    "into the caches can read faster than memory does: then its share is above 100 %.\n";

constexpr int kMostTokens = 1 << 20, kMostSequences = 1024;

struct BenchOptions {
  std::string model, prefill_text = "128,512", depth_text = "0,1024", batch_text = "1,8";
  BenchPlan plan;
  bool json = false;
  ComputeOptions compute;
};

MachineLimits better_of(const MachineLimits& a, const MachineLimits& b) {
  return {.read_bytes_per_second = std::max(a.read_bytes_per_second, b.read_bytes_per_second),
          .f32_flops = std::max(a.f32_flops, b.f32_flops),
          .bf16_flops = std::max(a.bf16_flops, b.bf16_flops)};
}

struct Report {
  std::string model;
  int threads = 0;
  Compute compute{};
  MachineLimits limits;
  std::vector<BenchRow> rows;
  double load_seconds = 0;
  std::uint64_t file_bytes = 0;

  double matrix_flops() const { return compute.arithmetic == Arithmetic::exact ? limits.f32_flops : limits.bf16_flops; }
};

// Mapped files included.
std::uint64_t resident_bytes() {
  return 1024 * number_behind("/proc/self/status", "VmRSS:");
}

// Of mapped files. A file that was written or read piece by piece lies in memory in small pages, and decoding from it
// takes up to 1.4 times as long (docs/kernels.md).
std::uint64_t huge_page_bytes() {
  return 1024 * number_behind("/proc/self/smaps_rollup", "FilePmdMapped:");
}

Json report_json(const Report& report) {
  Json prefill = Json::array(), decode = Json::array();
  for (const BenchRow& row : report.rows) {
    Json out = {{"tokens", row.tokens},
                {"depth", row.depth},
                {"tokens_per_second", row.tokens_per_second},
                {"gflops", row.flops() * 1e-9},
                {"share_of_matrix_rate", row.flops() / report.matrix_flops()}};
    if (!row.prefill) {
      out["batch"] = row.batch;
      out["bytes_per_step"] = row.bytes_per_step;
      out["share_of_read_bandwidth"] = row.bytes_per_second() / report.limits.read_bytes_per_second;
    }
    (row.prefill ? prefill : decode).push_back(std::move(out));
  }
  return {{"model", report.model},
          {"threads", report.threads},
          {"instruction_set", isa_name(best_isa())},
          {"arithmetic", report.compute.arithmetic == Arithmetic::exact ? "exact" : "fast"},
          {"limits",
           {{"read_gb_per_second", report.limits.read_bytes_per_second * 1e-9},
            {"bf16_gflops", report.limits.bf16_flops * 1e-9},
            {"f32_gflops", report.limits.f32_flops * 1e-9}}},
          {"load_seconds", report.load_seconds},
          {"file_bytes", report.file_bytes},
          {"resident_bytes", resident_bytes()},
          {"huge_page_bytes", huge_page_bytes()},
          {"prefill", std::move(prefill)},
          {"decode", std::move(decode)}};
}

void print_report(const Report& report) {
  write_out(fmt::format("{}: {} threads, {}, {} arithmetic\n", report.model, report.threads, isa_name(best_isa()),
                        report.compute.arithmetic == Arithmetic::exact ? "exact" : "fast"));
  write_out(fmt::format("limits: read {:.1f} GB/s, bf16 {:.0f} GFLOP/s, f32 {:.0f} GFLOP/s\n",
                        report.limits.read_bytes_per_second * 1e-9, report.limits.bf16_flops * 1e-9,
                        report.limits.f32_flops * 1e-9));
  write_out(fmt::format("opened in {:.2f} s; files {}, resident now {}, {} of it files in huge pages\n\n",
                        report.load_seconds, format_bytes(static_cast<double>(report.file_bytes)),
                        format_bytes(static_cast<double>(resident_bytes())),
                        format_bytes(static_cast<double>(huge_page_bytes()))));
  const std::string rate = report.compute.arithmetic == Arithmetic::exact ? "of f32 rate" : "of bf16 rate";
  write_out(fmt::format("{:<8} {:>7} {:>7} {:>6} {:>10} {:>9} {:>13} {:>9} {:>10}\n", "", "tokens", "depth", "batch",
                        "tokens/s", "GFLOP/s", rate, "GB/s", "of read"));
  for (const BenchRow& row : report.rows) {
    write_out(fmt::format("{:<8} {:>7} {:>7} {:>6} {:>10.1f} {:>9.1f} {:>12.1f}%", row.prefill ? "prefill" : "decode",
                          row.tokens, row.depth, row.batch, row.tokens_per_second, row.flops() * 1e-9,
                          100 * row.flops() / report.matrix_flops()));
    if (!row.prefill)
      write_out(fmt::format(" {:>9.1f} {:>9.0f}%", row.bytes_per_second() * 1e-9,
                            100 * row.bytes_per_second() / report.limits.read_bytes_per_second));
    write_out("\n");
  }
}

Status run_bench(const BenchOptions& options) {
  const Stopwatch loading;
  HADAL_ASSIGN(const WeightModel model,
               open_weights(options.model, options.compute.arithmetic(), options.compute.threads));
  const double load_seconds = loading.elapsed().count();
  const ModelConfig& config = model.config();
  const BenchPlan& plan = options.plan;
  if (plan.longest() > config.max_position_embeddings)
    return Error{ErrorKind::invalid,
                 fmt::format("bench: expected depth and tokens within the model's context of {}, found {} with what is "
                             "measured beside them",
                             config.max_position_embeddings, plan.longest())};
  Report report{.model = model.location.name,
                .threads = model.pool->threads(),
                .compute = model.transformer->compute(),
                .limits = {},
                .rows = {},
                .load_seconds = load_seconds,
                .file_bytes = model.checkpoint.file_bytes};
  report.limits = measure_machine_limits(report.compute);
  HADAL_RETURN_IF_ERROR(measure_engine(*model.forward, model.checkpoint, plan, [&](const BenchRow& row) -> Status {
    report.rows.push_back(row);
    report.limits = better_of(report.limits, measure_machine_limits(report.compute));
    return Done{};
  }));
  if (options.json)
    write_out(report_json(report).dump() + "\n");
  else
    print_report(report);
  return Done{};
}

// Wrong usage unless every number is one of `least` to `most`.
std::vector<int> numbers_from(const std::string& text, const std::string& option, int least, int most) {
  std::vector<int> numbers = parse_numbers(text, option);
  for (const int number : numbers)
    if (number < least || number > most)
      throw CLI::ValidationError(option, fmt::format("expected numbers from {} to {}, found {}", least, most, number));
  return numbers;
}

}  // namespace

void add_bench_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand("bench", "Tokens/s beside this machine's limits");
  command->footer(kExamples);
  add_model_argument(*command, options->model);
  command->add_option("--prefill", options->prefill_text, "Tokens of prompts")->capture_default_str();
  command->add_option("--decode", options->plan.decode_tokens, "Tokens of each answer")
      ->check(CLI::Range(1, kMostTokens))
      ->capture_default_str();
  command->add_option("--depth", options->depth_text, "Tokens that are cached before")->capture_default_str();
  command->add_option("--batch", options->batch_text, "Answers at the same time")->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object");
  add_compute_options(*command, options->compute);
  command->callback([options, &result] {
    options->plan.prefill_tokens = numbers_from(options->prefill_text, "--prefill", 1, kMostTokens);
    options->plan.depths = numbers_from(options->depth_text, "--depth", 0, kMostTokens);
    options->plan.batches = numbers_from(options->batch_text, "--batch", 1, kMostSequences);
    result.status = run_bench(*options);
  });
}

}  // namespace hadal
