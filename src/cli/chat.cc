// `hadal chat`: a conversation in the terminal. Ctrl-C stops the answer, not the program; Ctrl-D and SIGTERM end it.
//
// Nothing is written anywhere unless the user says /save. Where standard input is no terminal, each line is a turn.
#include <fmt/format.h>
#include <histedit.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/atomic_file.h"
#include "base/json.h"
#include "cli/answer_session.h"
#include "cli/shared_options.h"

namespace hadal {
namespace {

constexpr int kHistoryLines = 1000;

constexpr const char* kHelp =
    "  /think on|off|auto   reason before answering; auto: as the model does by itself\n"
    "  /system TEXT         a system message for what follows; without TEXT, none\n"
    "  /again               ask the last question once more\n"
    "  /new                 forget the conversation\n"
    "  /save FILE           write it as JSON ({\"messages\": [...]})\n"
    "  /stats               what the conversation has cost so far\n"
    "  /quit                end (also Ctrl-D)\n"
    "  Ctrl-C stops an answer; the arrow keys edit the line and find earlier ones.\n";

struct ChatOptions {
  std::string model, system, format;
  int max_tokens = 0, context = 0;
  std::optional<bool> thinking;
  SamplingFlags sampling;
  ComputeOptions compute;
};

// Lines from a person, with editing and history, or from a pipe. A line that Ctrl-C breaks off is an empty one.
class LineReader {
 public:
  explicit LineReader(CancelFlag& interrupted) : interrupted_(interrupted), terminal_(isatty(STDIN_FILENO) == 1) {
    if (!terminal_) return;
    std::setlocale(LC_CTYPE, "");
    HistEvent event;
    history_.reset(::history_init());
    edit_.reset(el_init("hadal", stdin, stdout, stderr));
    if (!edit_ || !history_) return;
    ::history(history_.get(), &event, H_SETSIZE, kHistoryLines);
    el_set(
        edit_.get(), EL_PROMPT, +[](EditLine*) { return const_cast<char*>("> "); });
    el_set(edit_.get(), EL_EDITOR, "emacs");
    el_set(edit_.get(), EL_HIST, ::history, history_.get());
  }

  bool terminal() const { return terminal_; }

  std::optional<std::string> next() {  // nothing: the end
    interrupted_.reset();
    if (interrupted_.ended()) return std::nullopt;
    if (!edit_) return next_from_pipe();
    int length = 0;
    const char* line = el_gets(edit_.get(), &length);
    if (interrupted_.requested()) {
      std::printf("\n");
      if (interrupted_.ended()) return std::nullopt;
      return "";
    }
    if (line == nullptr || length <= 0) return std::nullopt;
    std::string text(line, static_cast<std::size_t>(length));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    HistEvent event;
    if (!text.empty()) ::history(history_.get(), &event, H_ENTER, text.c_str());
    return text;
  }

 private:
  struct EndEdit {
    void operator()(EditLine* edit) const { el_end(edit); }
  };
  struct EndHistory {
    void operator()(History* history) const { ::history_end(history); }
  };

  std::optional<std::string> next_from_pipe() {
    std::string text;
    int c;
    while ((c = std::getchar()) != EOF && c != '\n') text += static_cast<char>(c);
    if (c == EOF && text.empty()) return std::nullopt;
    return text;
  }

  CancelFlag& interrupted_;
  bool terminal_;
  std::unique_ptr<History, EndHistory> history_;
  std::unique_ptr<EditLine, EndEdit> edit_;
};

class Conversation {
 public:
  Conversation(ChatModel& model, const ChatOptions& options, CancelFlag& cancel)
      : model_(model), options_(options), cancel_(cancel), system_(options.system), thinking_(options.thinking) {}

  // False: the user wants to leave.
  bool take(const std::string& line) {
    if (line.find_first_not_of(" \t") == std::string::npos) return true;
    if (line.front() == '/') return command(line);
    turns_.push_back({.role = "user", .content = line, .reasoning_content = {}});
    answer();
    return true;
  }

 private:
  bool command(const std::string& line) {
    const std::size_t blank = line.find(' ');
    const std::string name = line.substr(0, blank);
    std::string rest = blank == std::string::npos ? "" : line.substr(blank + 1);
    while (!rest.empty() && rest.back() == ' ') rest.pop_back();
    if (name == "/quit" || name == "/exit") return false;
    if (name == "/help") {
      say(kHelp);
    } else if (name == "/new") {
      turns_.clear();
      say("A new conversation.\n");
    } else if (name == "/think") {
      set_thinking(rest);
    } else if (name == "/system") {
      system_ = rest;
      say(rest.empty() ? "No system message.\n" : "The system message counts from the next answer on.\n");
    } else if (name == "/again") {
      again();
    } else if (name == "/save") {
      save(rest);
    } else if (name == "/stats") {
      say(fmt::format("{} answers: {} tokens written, {} read ({} of them from the cache)\n", answers_,
                      total_.completion_tokens, total_.prompt_tokens, total_.cached_prompt_tokens));
    } else {
      say(fmt::format("{}: no such command; /help lists them\n", name));
    }
    return true;
  }

  void set_thinking(const std::string& value) {
    if (value == "on" || value == "off")
      thinking_ = value == "on";
    else if (value == "auto")
      thinking_.reset();
    else
      return say(fmt::format("/think: expected on, off or auto, found \"{}\"\n", value));
    say(fmt::format("Thinking: {}.\n", value));
  }

  void again() {
    const std::vector<ChatMessage> before = turns_;
    while (!turns_.empty() && turns_.back().role != "user") turns_.pop_back();
    if (turns_.empty()) return say("Nothing has been asked yet.\n");
    if (!answer()) turns_ = before;
  }

  // False: there was none, and the question is taken back.
  bool answer() {
    GenerationRequest request;
    if (!system_.empty()) request.messages.push_back({.role = "system", .content = system_, .reasoning_content = {}});
    request.messages.insert(request.messages.end(), turns_.begin(), turns_.end());
    request.thinking = thinking_;
    request.sampling = options_.sampling.over(model_.default_sampling());
    request.max_tokens = options_.max_tokens;
    cancel_.reset();
    const Result<Completion> completion = ask(model_, std::move(request), cancel_, ShowAnswer::yes);
    if (!completion.ok()) {
      turns_.pop_back();  // as if it had not been asked
      say(completion.error().message + "\n" +
          (turns_.empty() ? "" : "(/new begins a new conversation, with an empty context)\n"));
      return false;
    }
    turns_.push_back({.role = "assistant", .content = completion->text, .reasoning_content = completion->reasoning});
    total_.prompt_tokens += completion->usage.prompt_tokens;
    total_.cached_prompt_tokens += completion->usage.cached_prompt_tokens;
    total_.completion_tokens += completion->usage.completion_tokens;
    ++answers_;
    say(fmt::format("{}{}\n\n", completion->finish_reason == FinishReason::cancelled ? "stopped; " : "",
                    summary_line(*completion, model_.threads())));
    return true;
  }

  void save(const std::string& path) {
    if (path.empty()) return say("/save: expected a file's name, found none\n");
    Json messages = Json::array();
    if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
    for (const ChatMessage& turn : turns_) {
      messages.push_back({{"role", turn.role}, {"content", turn.content}});
      if (!turn.reasoning_content.empty()) messages.back()["reasoning_content"] = turn.reasoning_content;
    }
    const Status saved = write_file_atomically(
        path, Json{{"messages", messages}}.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    say(saved.ok() ? fmt::format("{} messages in {}\n", messages.size(), path) : saved.error().message + "\n");
  }

  static void say(std::string_view text) {  // what is not the model's goes to stderr
    std::fwrite(text.data(), 1, text.size(), stderr);
  }

  ChatModel& model_;
  const ChatOptions& options_;
  CancelFlag& cancel_;
  std::string system_;
  std::optional<bool> thinking_;
  std::vector<ChatMessage> turns_;
  Usage total_;
  int answers_ = 0;
};

Status run_chat(const ChatOptions& options) {
  HADAL_ASSIGN(const std::unique_ptr<ChatModel> model,
               ChatModel::open(options.model, {
                                                  .exact = options.compute.exact,
                                                  .threads = options.compute.threads,
                                                  .context_tokens = options.context,
                                                  .max_sequences = 1,
                                                  .format = options.format,
                                              }));
  CancelFlag cancel;
  const InterruptGuard guard(cancel);
  LineReader lines(cancel);
  if (lines.terminal())
    std::fprintf(stderr, "%s, %d tokens of context. /help lists the commands, Ctrl-D ends.\n\n", model->name().c_str(),
                 model->context_tokens());
  Conversation conversation(*model, options, cancel);
  while (const std::optional<std::string> line = lines.next())
    if (!conversation.take(*line)) break;
  if (lines.terminal()) std::fprintf(stderr, "\n");
  return Done{};
}

}  // namespace

void add_chat_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* command = app.add_subcommand("chat", "A conversation in the terminal");
  command->footer(
      "\nExamples:\n"
      "  hadal chat                        with the built-in model\n"
      "  hadal chat MODEL --temperature 0.6 --system \"You are brief.\"\n"
      "\n/help lists the commands; Ctrl-C stops an answer, Ctrl-D ends.\n");
  add_model_argument(*command, options->model);
  command->add_option("--system", options->system, "A system message");
  command->add_option("--max-tokens", options->max_tokens, "Of an answer with its reasoning; left out: the context")
      ->check(CLI::Range(1, 1 << 24));
  command->add_option("--context", options->context, "Tokens of the conversation; left out: what fits")
      ->check(CLI::Range(2, 1 << 24));
  add_format_option(*command, options->format);
  add_think_option(*command, options->thinking);
  add_sampling_options(*command, options->sampling);
  add_compute_options(*command, options->compute);
  command->callback([options, &result] { result.status = run_chat(*options); });
}

}  // namespace hadal
