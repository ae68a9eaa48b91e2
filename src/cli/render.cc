// `hadal render`: a conversation to the prompt that the model is given. Needs only the tokenizer's files.
#include <memory>

#include "base/json.h"
#include "chat/model_files.h"
#include "cli/shared_options.h"
#include "text/chat_format.h"
#include "text/render_json.h"
#include "text/tokenizer.h"

namespace hadal {
namespace {

struct RenderCommandOptions {
  std::string model, format;
  bool json = false;
};

Result<const ChatFormat*> choose_format(const RenderCommandOptions& options, const ModelLocation& location,
                                        const Tokenizer& tokenizer) {
  return options.format.empty() ? recognise_chat_format(tokenizer, location.name) : find_chat_format(options.format);
}

Status run_render(const RenderCommandOptions& options) {
  HADAL_ASSIGN(const ModelLocation location, find_model(options.model));
  HADAL_ASSIGN(const Tokenizer tokenizer, open_tokenizer(location.path));
  HADAL_ASSIGN(const ChatFormat* const format, choose_format(options, location, tokenizer));
  HADAL_ASSIGN(const std::string body, read_standard_input());
  HADAL_ASSIGN(const std::string rendered, render_json(tokenizer, *format, body));
  if (options.json) {
    write_out(rendered + "\n");
    return Done{};
  }
  HADAL_ASSIGN(const Json object, parse_json(rendered, "prompt"));
  write_out(object["prompt"].get<std::string>());
  return Done{};
}

}  // namespace

void add_render_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<RenderCommandOptions>();
  CLI::App* command = app.add_subcommand("render", "A conversation on stdin to the model's prompt");
  add_model_argument(*command, options->model);
  add_format_option(*command, options->format);
  command->add_flag("--json", options->json, "One JSON object: {\"prompt\": \"...\", \"ids\": [...]}");
  command->footer(
      "\nstdin: {\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"thinking\"?, \"add_generation_prompt\"? "
      "(true),\n\"continue_final_message\"?, \"tools\"?, \"template_args\"?}\n"
      "\nExample: echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}' | hadal render --format "
      "deepseek-r1\n");
  command->callback([options, &result] { result.status = run_render(*options); });
}

}  // namespace hadal
