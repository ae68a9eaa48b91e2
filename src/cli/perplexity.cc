// `hadal perplexity`: how well a model foresees a text.
//
// The text is cut into windows of `context` tokens. A window begins with BOS where the tokenizer puts one before raw
// text, otherwise with the last token of the window before; so every token but the first of the text (without BOS)
// is predicted once, from what stands before it in its window.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <memory>
#include <numeric>
#include <optional>

#include "base/file.h"
#include "base/progress.h"
#include "chat/model_files.h"
#include "cli/shared_options.h"
#include "cli/text_tokens.h"
#include "engine/scorer.h"
#include "spec/checkpoint.h"
#include "text/tokenizer.h"

namespace hadal {
namespace {

constexpr int kPassTokens = 512;       // rows of one forward pass, as in logits
constexpr int kDefaultContext = 4096;  // attention's cost grows with it, what it gains hardly

struct PerplexityOptions {
  std::vector<std::string> model_and_file;
  int context = 0;  // 0: kDefaultContext, or what the model holds
  bool nll = false, json = false;
  ComputeOptions compute;
};

// -log p of `token`, in double from the float logits [V].
double negative_log_likelihood(std::span<const float> logits, TokenId token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return std::log(sum) + top - static_cast<double>(logits[static_cast<std::size_t>(index(token))]);
}

Result<int> choose_context(const PerplexityOptions& options, const ModelConfig& config) {
  if (options.context == 0) return std::min(kDefaultContext, config.max_position_embeddings);
  if (options.context > config.max_position_embeddings)
    return Error{ErrorKind::invalid, fmt::format("--context: expected at most {} (the model's context), found {}",
                                                 config.max_position_embeddings, options.context)};
  return options.context;
}

Result<std::vector<double>> score_text(const WeightModel& model, std::span<const TokenId> tokens,
                                       std::optional<TokenId> bos, int context) {
  HADAL_ASSIGN(Scorer scorer, Scorer::create(*model.forward, context, kPassTokens));
  const std::size_t step = static_cast<std::size_t>(context) - 1, first = bos ? 0 : 1;
  std::vector<double> nll;
  Progress progress(ProgressSink::to(stderr), "scoring", tokens.size() - first);
  for (std::size_t begin = first; begin < tokens.size(); begin += step) {
    const auto scored = tokens.subspan(begin, std::min(step, tokens.size() - begin));
    std::vector<TokenId> window = {bos ? *bos : tokens[begin - 1]};
    window.insert(window.end(), scored.begin(), scored.end() - 1);
    std::vector<int> positions(window.size());
    std::iota(positions.begin(), positions.end(), 0);
    HADAL_RETURN_IF_ERROR(scorer.score(window, positions, [&](int position, std::span<const float> logits) -> Status {
      nll.push_back(negative_log_likelihood(logits, scored[static_cast<std::size_t>(position)]));
      progress.update(nll.size());
      return Done{};
    }));
  }
  return nll;
}

// JSON numbers; what is not finite is null.
std::string json_number(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "null";
}

void report(const PerplexityOptions& options, const std::vector<double>& nll) {
  const double mean = std::accumulate(nll.begin(), nll.end(), 0.0) / static_cast<double>(nll.size());
  if (options.json) {
    write_out(fmt::format("{{\"tokens\": {}, \"mean_nll\": {}, \"perplexity\": {}", nll.size(), json_number(mean),
                          json_number(std::exp(mean))));
    if (options.nll) {
      std::string list;
      for (const double value : nll) list += (list.empty() ? "" : ", ") + json_number(value);
      write_out(fmt::format(", \"nll\": [{}]", list));
    }
    write_out("}\n");
    return;
  }
  if (options.nll)
    for (const double value : nll) write_out(fmt::format("{:.5f}\n", value));
  write_out(fmt::format("{} tokens, {:.5f} nats a token, perplexity {:.3f}\n", nll.size(), mean, std::exp(mean)));
}

Status run_perplexity(const PerplexityOptions& options) {
  const std::string model_name = options.model_and_file.size() == 2 ? options.model_and_file[0] : kBuiltInModel;
  const std::string& file = options.model_and_file.back();
  HADAL_ASSIGN(const ModelLocation location, find_model(model_name));
  HADAL_ASSIGN(const ModelConfig config, read_checkpoint_config(location.path));
  HADAL_ASSIGN(const int context, choose_context(options, config));
  HADAL_ASSIGN(const Tokenizer tokenizer, open_tokenizer(location.path));
  HADAL_ASSIGN(const std::vector<TokenId> tokens, read_text_tokens(file, tokenizer, config));
  const std::optional<TokenId> bos = tokenizer.adds_bos() ? tokenizer.bos() : std::nullopt;
  if (tokens.size() < (bos ? 1u : 2u))
    return Error{ErrorKind::invalid,
                 fmt::format("{}: expected at least one token to predict, found {} in all", file, tokens.size())};

  HADAL_ASSIGN(const WeightModel model,
               open_weights(model_name, options.compute.arithmetic(), options.compute.threads));
  const int room = static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(context), tokens.size() + 1));
  HADAL_ASSIGN(const std::vector<double> nll, score_text(model, tokens, bos, room));
  report(options, nll);
  return Done{};
}

}  // namespace

void add_perplexity_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<PerplexityOptions>();
  CLI::App* command = app.add_subcommand("perplexity", "How well a model foresees a text");
  command->footer(
      "\nExamples:\n"
      "  hadal perplexity text.txt                 the built-in model\n"
      "  hadal perplexity MODEL text.txt --context 2048 --json\n");
  command
      ->add_option("FILE", options->model_and_file,
                   "[MODEL] FILE: a text in UTF-8; before it a directory, a .gguf file, an id in the Hugging Face "
                   "cache or a built-in name, left out: abyss")
      ->required()
      ->expected(1, 2);
  command->add_option("--context", options->context, "Tokens of a window; left out, 4096 or what the model holds")
      ->check(CLI::Range(2, 1 << 24));
  command->add_flag("--nll", options->nll, "The negative log-likelihood of each predicted token too");
  command->add_flag("--json", options->json, "One JSON object: tokens, mean_nll, perplexity");
  add_compute_options(*command, options->compute);
  command->callback([options, &result] { result.status = run_perplexity(*options); });
}

}  // namespace hadal
