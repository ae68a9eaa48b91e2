// `hadal run`: one prompt, its answer streamed to stdout, and a line of figures on stderr.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <thread>

#include "base/json.h"
#include "cli/answer_session.h"
#include "cli/shared_options.h"

namespace hadal {
namespace {

constexpr const char* kExamples =
    "\nExamples:\n"
    "  hadal run -p \"What is 17 * 23?\"\n"
    "  hadal run MODEL -p \"Name three seas.\" --think off --temperature 0.3\n"
    "  echo \"What is 6 * 7?\" | hadal run --json\n"
    "\nReasoning and answer go to stdout, figures to stderr. Reasoning is dim on a terminal, elsewhere between <think> "
    "and\n</think>.\n";

struct RunOptions {
  std::string model, system, format;
  std::optional<std::string> prompt;
  int max_tokens = 0;
  std::vector<std::string> stop;
  std::optional<bool> thinking;
  bool raw = false, json = false;
  SamplingFlags sampling;
  ComputeOptions compute;
};

Result<std::string> prompt_of(const RunOptions& options) {
  if (options.prompt) return *options.prompt;
  if (isatty(STDIN_FILENO) == 1)
    return Error{ErrorKind::invalid, "prompt: expected -p TEXT, or a text on standard input; found a terminal"};
  HADAL_ASSIGN(std::string text, read_standard_input());
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

GenerationRequest request_of(const RunOptions& options, std::string prompt, const ChatModel& model) {
  GenerationRequest request;
  if (options.raw) {
    request.raw_prompt = std::move(prompt);
  } else {
    if (!options.system.empty())
      request.messages.push_back({.role = "system", .content = options.system, .reasoning_content = {}});
    request.messages.push_back({.role = "user", .content = std::move(prompt), .reasoning_content = {}});
  }
  request.thinking = options.thinking;
  request.sampling = options.sampling.over(model.default_sampling());
  request.max_tokens = options.max_tokens;
  request.stop = options.stop;
  return request;
}

double milliseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

Json completion_json(const std::string& model, const Completion& c) {
  const double decode = milliseconds(c.timings.decode);
  return {{"model", model},
          {"text", c.text},
          {"reasoning", c.reasoning},
          {"finish_reason", finish_reason_name(c.finish_reason)},
          {"usage",
           {{"prompt_tokens", c.usage.prompt_tokens},
            {"cached_prompt_tokens", c.usage.cached_prompt_tokens},
            {"completion_tokens", c.usage.completion_tokens},
            {"reasoning_tokens", c.usage.reasoning_tokens}}},
          {"timings",
           {{"prefill_ms", milliseconds(c.timings.prefill)},
            {"decode_ms", decode},
            {"tokens_per_second", decode > 0 ? 1e3 * (c.usage.completion_tokens - 1) / decode : 0.0}}}};
}

Status run_run(const RunOptions& options) {
  HADAL_ASSIGN(std::string prompt, prompt_of(options));
  HADAL_ASSIGN(const std::unique_ptr<ChatModel> model,
               ChatModel::open(options.model, {.exact = options.compute.exact,
                                               .threads = options.compute.threads,
                                               .max_sequences = 1,
                                               .format = options.format}));
  CancelFlag cancel;
  const InterruptGuard guard(cancel);
  HADAL_ASSIGN(const Completion completion, ask(*model, request_of(options, std::move(prompt), *model), cancel,
                                                options.json ? ShowAnswer::no : ShowAnswer::yes));
  if (options.json) {
    write_out(completion_json(model->name(), completion).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
    return Done{};
  }
  std::fprintf(stderr, "\n%s%s\n", summary_line(completion, model->threads()).c_str(),
               completion.finish_reason == FinishReason::length      ? "; cut off at the limit of tokens"
               : completion.finish_reason == FinishReason::cancelled ? "; stopped"
                                                                     : "");
  return Done{};
}

}  // namespace

void add_run_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Answer one prompt");
  command->footer(kExamples);
  add_model_argument(*command, options->model);
  command->add_option("-p,--prompt", options->prompt, "What to ask; left out, standard input is read");
  command->add_option("--system", options->system, "A system message before it");
  command->add_option("--max-tokens", options->max_tokens, "Of the answer with its reasoning; left out: the context")
      ->check(CLI::Range(1, 1 << 24));
  command->add_option("--stop", options->stop, "End before this text; may be given more than once")->expected(1);
  CLI::Option* raw =
      command->add_flag("--raw", options->raw, "The prompt as it is, without chat format; control tokens in it count");
  command->add_flag("--json", options->json, "One JSON object: text, reasoning, finish_reason, usage, timings");
  add_format_option(*command, options->format);
  add_think_option(*command, options->thinking);
  for (const char* of_chat : {"--system", "--format", "--think"}) raw->excludes(command->get_option(of_chat));
  add_sampling_options(*command, options->sampling);
  add_compute_options(*command, options->compute);
  command->callback([options, &result] { result.status = run_run(*options); });
}

}  // namespace hadal
