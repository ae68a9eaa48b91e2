// `hadal tokenize`: text to token ids, and back. Needs only the tokenizer's files.
#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <memory>

#include "base/json.h"
#include "chat/model_files.h"
#include "cli/shared_options.h"
#include "text/render_json.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace hadal {
namespace {

struct TokenizeOptions {
  std::string model;
  bool decode = false, json = false;
  SpecialTokens special = SpecialTokens::plain;
};

std::string json_string_of(std::string_view text) {
  return Json(text).dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

// {"ids": [..]}, or the list alone. A model's head may have more rows than the vocabulary: their ids have no text.
Result<std::vector<TokenId>> read_ids(std::string_view text) {
  HADAL_ASSIGN(const Json json, parse_json(text, "stdin"));
  const Json& list = json.is_object() && json.contains("ids") ? json["ids"] : json;
  if (!list.is_array())
    return Error{ErrorKind::invalid,
                 fmt::format("stdin: expected {{\"ids\": [1, 2]}} or a list of ids, found {}", json_excerpt(list))};
  std::vector<TokenId> ids;
  for (const Json& id : list) {
    constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kMost)
      return Error{ErrorKind::invalid,
                   fmt::format("stdin: ids[{}]: expected 0 to {}, found {}", ids.size(), kMost, json_excerpt(id))};
    ids.push_back(TokenId{id.get<std::int32_t>()});
  }
  return ids;
}

Status encode(const TokenizeOptions& options, const Tokenizer& tokenizer, std::string_view text) {
  HADAL_RETURN_IF_ERROR(check_utf8("stdin", text));
  const std::vector<TokenId> ids = tokenizer.encode(text, options.special);
  if (options.json) {
    write_out(ids_json(ids) + "\n");
    return Done{};
  }
  for (const TokenId id : ids)
    write_out(fmt::format("{:>8}  {}{}\n", index(id), json_string_of(tokenizer.token_bytes(id)),
                          tokenizer.is_control(id) ? "  control" : ""));
  return Done{};
}

Status decode(const TokenizeOptions& options, const Tokenizer& tokenizer, std::string_view text) {
  HADAL_ASSIGN(const std::vector<TokenId> ids, read_ids(text));
  const std::string decoded = tokenizer.decode(ids);
  write_out(options.json ? fmt::format("{{\"text\": {}}}\n", json_string_of(decoded)) : decoded);
  return Done{};
}

Status run_tokenize(const TokenizeOptions& options) {
  HADAL_ASSIGN(const ModelLocation location, find_model(options.model));
  HADAL_ASSIGN(const Tokenizer tokenizer, open_tokenizer(location.path));
  HADAL_ASSIGN(const std::string text, read_standard_input());
  return options.decode ? decode(options, tokenizer, text) : encode(options, tokenizer, text);
}

}  // namespace

void add_tokenize_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "Text on stdin to token ids, and back");
  add_model_argument(*command, options->model);
  command->add_flag("--decode", options->decode, "stdin is {\"ids\": [1, 2]}; give the text");
  command
      ->add_option_function<std::string>(
          "--special",
          [options](const std::string& value) {
            options->special = value == "parse" ? SpecialTokens::parse : SpecialTokens::plain;
          },
          "Whether control tokens in the text count: plain (no) or parse")
      ->check(one_of({"plain", "parse"}))
      ->default_str("plain");
  command->add_flag("--json", options->json, "One JSON object: {\"ids\": [...]}, or {\"text\": \"...\"} for --decode");
  command->footer(
      "\nWithout --json each token is a line, its id and its bytes as a JSON string; --decode prints the text alone.\n"
      "\nExamples:\n"
      "  echo \"The deep sea\" | hadal tokenize\n"
      "  echo \"The deep sea\" | hadal tokenize --json | hadal tokenize --decode\n");
  command->callback([options, &result] { result.status = run_tokenize(*options); });
}

}  // namespace hadal
