// `hadal gradients MODEL --tokens-file F --out F`: the gradient of the mean next-token cross-entropy, exact mode.
#include <fmt/format.h>

#include <memory>

#include "chat/model_files.h"
#include "cli/shared_options.h"
#include "trainer/gradient_file.h"

namespace hadal {
namespace {

struct GradientsOptions {
  std::string model, tokens_file, out;
  int threads = 0;
};

Status run_gradients(const GradientsOptions& options) {
  HADAL_ASSIGN(const ModelLocation model, find_model(options.model));
  HADAL_ASSIGN(const std::vector<TokenId> tokens, read_tokens_file(options.tokens_file));
  ThreadPool pool(options.threads);
  HADAL_ASSIGN(const double loss, write_gradients(model.path, tokens, pool, options.out));
  fmt::print("{{\"loss\": {:.9g}, \"tokens\": {}}}\n", loss, tokens.size());
  return Done{};
}

}  // namespace

void add_gradients_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<GradientsOptions>();
  CLI::App* command = app.add_subcommand("gradients", "The gradient of the next-token loss, for comparison");
  command->footer("\nExample: hadal gradients MODEL --tokens-file tokens.json --out gradients.safetensors\n");
  add_model_argument(*command, options->model);
  command->add_option("--tokens-file", options->tokens_file, "[1,2,3] as JSON, or safetensors with `tokens`")
      ->required();
  command->add_option("--out", options->out, "A safetensors file, float32 under the published names")->required();
  command->add_option("--threads", options->threads, "Threads; 0 takes all")->check(CLI::Range(0, 1024));
  command->callback([options, &result] { result.status = run_gradients(*options); });
}

}  // namespace hadal
