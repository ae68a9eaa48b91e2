// `hadal serve`: the server and the web chat on one model (server/server.h does the work).
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "base/file.h"
#include "cli/shared_options.h"
#include "server/server.h"

namespace hadal {
namespace {

constexpr const char* kExamples =
    "\nExamples:\n"
    "  hadal serve                                            the built-in model on http://127.0.0.1:8080\n"
    "  hadal serve MODEL --port 9000 --context 8192\n"
    "  hadal serve --host 0.0.0.0 --api-key-file keys.txt     others may ask, with a key\n"
    "  curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \\\n"
    "       -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What is 17 * 23?\"}]}'\n"
    "\nCtrl-C lets running answers finish; a second one ends them.\n";

constexpr std::uint64_t kMaxKeyFileBytes = 1u << 20;

struct ServeOptions {
  std::string model, api_key_file;
  OpenOptions open;
  ServerOptions server;
  ComputeOptions compute;
};

// A key a line; blank lines and lines that begin with # do not count.
Result<std::vector<std::string>> read_api_keys(const std::string& path) {
  HADAL_ASSIGN(const std::string text, read_text_file(path, kMaxKeyFileBytes));
  std::vector<std::string> keys;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string key = text.substr(begin, end - begin);
    while (!key.empty() && (key.back() == '\r' || key.back() == ' ' || key.back() == '\t')) key.pop_back();
    if (!key.empty() && key.front() != '#') keys.push_back(std::move(key));
    begin = end + 1;
  }
  if (keys.empty()) return Error{ErrorKind::invalid, fmt::format("{}: expected an API key a line, found none", path)};
  return keys;
}

Status run_serve(ServeOptions& options) {
  if (!options.api_key_file.empty()) {
    HADAL_ASSIGN(options.server.api_keys, read_api_keys(options.api_key_file));
  }
  HADAL_RETURN_IF_ERROR(check_can_serve(options.server));
  options.open.exact = options.compute.exact;
  options.open.threads = options.compute.threads;
  options.open.only_chats = true;  // the API has nothing else
  HADAL_ASSIGN(const std::unique_ptr<ChatModel> model, ChatModel::open(options.model, options.open));
  options.server.on_listening = [&](const ServerAddress& address) {
    std::fprintf(stderr, "%s is served on %s (API: %sv1; context %d tokens; Ctrl-C ends)\n", model->name().c_str(),
                 address.url.c_str(), address.url.c_str(), model->context_tokens());
  };
  return run_server(*model, options.server);
}

}  // namespace

void add_serve_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app.add_subcommand("serve", "The server and the web chat");
  command->footer(kExamples);
  add_model_argument(*command, options->model);
  command->add_option("--host", options->server.host, "Address to listen on; beyond this machine only with a key")
      ->capture_default_str();
  command->add_option("--port", options->server.port, "Port; 0 takes a free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command->add_option("--api-key-file", options->api_key_file, "Keys that may ask, one a line");
  command->add_option("--context", options->open.context_tokens, "Tokens of a conversation; left out: what fits")
      ->check(CLI::Range(2, 1 << 24));
  command->add_option("--clients", options->open.max_sequences, "Answers at the same time; further ones wait")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  add_format_option(*command, options->open.format);
  add_compute_options(*command, options->compute);
  command->callback([options, &result] { result.status = run_serve(*options); });
}

}  // namespace hadal
