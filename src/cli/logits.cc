// `hadal logits`: the model's raw output for given tokens, for comparison with other implementations.
#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <memory>
#include <numeric>

#include "base/cancel.h"
#include "chat/model_files.h"
#include "cli/shared_options.h"
#include "engine/scorer.h"
#include "formats/safetensors_writer.h"
#include "spec/checkpoint.h"
#include "trainer/gradient_file.h"

namespace hadal {
namespace {

constexpr int kPassTokens = 512;  // rows of one forward pass: enough for full speed, a bounded workspace

struct LogitsOptions {
  std::string model, tokens_text, tokens_file, positions_text, out;
  std::vector<TokenId> tokens;
  std::vector<int> positions;  // empty: all
  bool stepwise = false;
  ComputeOptions compute;
};

constexpr const char* kExamples =
    "\nPrints {\"logits\": [[...] a position]}, or writes them to a file.\n"
    "\nExamples:\n"
    "  hadal logits MODEL --tokens 1,2,3 --exact\n"
    "  hadal logits MODEL --tokens-file tokens.json --positions 0,63 --out logits.safetensors\n";

Status check_tokens(const std::vector<TokenId>& tokens, const ModelConfig& config) {
  if (tokens.empty()) return Error{ErrorKind::invalid, "tokens: expected at least one id, found none"};
  if (tokens.size() > static_cast<std::size_t>(config.max_position_embeddings))
    return Error{ErrorKind::invalid, fmt::format("tokens: expected at most {} (the model's context), found {}",
                                                 config.max_position_embeddings, tokens.size())};
  for (std::size_t i = 0; i < tokens.size(); ++i)
    if (index(tokens[i]) < 0 || index(tokens[i]) >= config.vocab_size)
      return Error{ErrorKind::invalid, fmt::format("tokens: [{}]: expected an id from 0 to {}, found {}", i,
                                                   config.vocab_size - 1, index(tokens[i]))};
  return Done{};
}

Result<std::vector<int>> wanted_positions(std::vector<int> positions, std::size_t tokens) {
  if (positions.empty()) {
    positions.resize(tokens);
    std::iota(positions.begin(), positions.end(), 0);
  }
  for (std::size_t i = 0; i < positions.size(); ++i) {
    if (static_cast<std::size_t>(positions[i]) >= tokens)
      return Error{ErrorKind::invalid, fmt::format("positions: expected 0 to {}, found {}", tokens - 1, positions[i])};
    if (i > 0 && positions[i] <= positions[i - 1])
      return Error{ErrorKind::invalid, fmt::format("positions: expected them ascending, found {} after {}",
                                                   positions[i], positions[i - 1])};
  }
  return positions;
}

Status write_file(Scorer& scorer, const LogitsOptions& options, const std::vector<int>& positions, int vocab_size) {
  const TensorDeclaration tensor{"logits", DType::f32, {static_cast<std::int64_t>(positions.size()), vocab_size}};
  HADAL_ASSIGN(auto file, SafetensorsFileWriter::create(options.out, std::span(&tensor, 1)));
  CancelFlag cancel;
  const InterruptGuard guard(cancel);
  HADAL_RETURN_IF_ERROR(scorer.score(options.tokens, positions, [&](int, std::span<const float> logits) -> Status {
    if (cancel.requested()) return Error{ErrorKind::cancelled, "logits: stopped, nothing is left"};
    return file.append(std::as_bytes(logits));
  }));
  return file.commit();
}

// Row by row: memory holds one, however long the text. The scorer has checked its input when the first one comes.
Status write_json(Scorer& scorer, const LogitsOptions& options, const std::vector<int>& positions) {
  std::string row;
  HADAL_RETURN_IF_ERROR(
      scorer.score(options.tokens, positions, [&](int position, std::span<const float> logits) -> Status {
        row = position == positions.front() ? "{\"logits\": [[" : ", [";
        for (std::size_t i = 0; i < logits.size(); ++i) {
          if (i > 0) row += ", ";
          if (std::isfinite(logits[i]))
            fmt::format_to(std::back_inserter(row), "{}", logits[i]);
          else
            row += "null";  // JSON has no other word for it
        }
        write_out(row + "]");
        return Done{};
      }));
  write_out("]}\n");
  return Done{};
}

Status run_logits(LogitsOptions& options) {
  HADAL_ASSIGN(const ModelLocation location, find_model(options.model));
  HADAL_ASSIGN(const ModelConfig config, read_checkpoint_config(location.path));
  if (!options.tokens_file.empty()) {
    HADAL_ASSIGN(options.tokens, read_tokens_file(options.tokens_file));
  }
  HADAL_RETURN_IF_ERROR(check_tokens(options.tokens, config));
  HADAL_ASSIGN(const std::vector<int> positions, wanted_positions(options.positions, options.tokens.size()));
  HADAL_ASSIGN(const WeightModel model,
               open_weights(options.model, options.compute.arithmetic(), options.compute.threads));
  HADAL_ASSIGN(Scorer scorer, Scorer::create(*model.forward, static_cast<int>(options.tokens.size()),
                                             options.stepwise ? 1 : kPassTokens));
  return options.out.empty() ? write_json(scorer, options, positions)
                             : write_file(scorer, options, positions, config.vocab_size);
}

}  // namespace

void add_logits_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<LogitsOptions>();
  CLI::App* command = app.add_subcommand("logits", "The model's output for given tokens, for comparison");
  command->footer(kExamples);
  add_model_argument(*command, options->model);
  auto* input = command->add_option_group("tokens");
  input->add_option("--tokens", options->tokens_text, "Token ids: 1,2,3");
  input->add_option("--tokens-file", options->tokens_file, "[1,2,3] as JSON, or safetensors with `tokens`");
  input->require_option(1);
  command->add_flag("--stepwise", options->stepwise, "Feed one token at a time through the cache");
  command->add_option("--positions", options->positions_text, "Only these positions, ascending: 0,63");
  command->add_option("--out", options->out, "A safetensors file with `logits` [T, V], instead of JSON on stdout");
  add_compute_options(*command, options->compute);
  command->callback([options, &result, input, command] {
    if (input->count("--tokens") > 0)
      for (const int id : parse_numbers(options->tokens_text, "--tokens")) options->tokens.push_back(TokenId{id});
    if (command->count("--positions") > 0) options->positions = parse_numbers(options->positions_text, "--positions");
    result.status = run_logits(*options);
  });
}

}  // namespace hadal
