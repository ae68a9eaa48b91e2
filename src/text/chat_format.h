// How a conversation becomes a prompt: the formats of the models that hadal serves (MODELS.md 10.3 to 10.5).
//
// A format writes a Prompt: control tokens by name, and texts between them. What a user, a tool or a model wrote is
// always text, so that it cannot forge a role or close a thought. Templates (Jinja) are never run, only recognised
// (chat_recognition.cc); each format is native, a small file of its own (native_formats.h).
// Any thread; formats are constants.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/ordered_json.h"
#include "text/tokenizer.h"
#include "text/tool_call_parser.h"

namespace hadal {

struct ToolCall {  // what an assistant asked for
  std::string id;  // of the API; no prompt shows it
  std::string type{"function"};
  std::string name;
  OrderedJson arguments;       // an object; a string where only the text of one was given
  std::string arguments_text;  // the same as text: as it was given, or the object's json.dumps
};

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", "tool"; "developer", "ipython" where the format knows it
  std::string content;
  std::string reasoning_content;  // of an assistant; past reasoning is not shown to the model again

  // What stood in the request for the content, for templates differ in what they make of it.
  enum class Content {
    text,
    json,    // of a tool: an object or a list; `content` is its json.dumps
    null,    // `content` is ""
    absent,  // likewise
  } content_kind = Content::text;
  std::optional<std::vector<ToolCall>> tool_calls{};  // none: no such field; an empty list: null or empty
  std::string tool_call_id{};                         // of a tool's answer; prompts go by position

  bool calls_tools() const { return tool_calls && !tool_calls->empty(); }
};

struct RenderOptions {
  std::optional<bool> thinking{};       // none: the format's own default
  bool add_generation_prompt = true;    // the assistant is to speak next
  bool continue_final_message = false;  // the last message, an assistant's, is to be gone on with; it gets no end.
                                        // add_generation_prompt must be false then
  std::optional<OrderedJson> tools{};   // a list of definitions; formats without a place for them write none
  // Of Llama's template: custom_tools, if it is there, takes the place of tools, also when it is null. Without a date
  // it writes its own: today's would make the same question another prompt.
  std::optional<std::string> date_string{};
  std::optional<OrderedJson> custom_tools{};
  bool tools_in_user_message = true;
};

struct RenderedPrompt {
  Prompt prompt;
  bool reasoning_open = false;  // what the model writes next is reasoning until </think>
};

struct SamplingAdvice {  // what a model's makers recommend, where no generation_config.json says it
  double temperature = 1, top_p = 1;
  int top_k = 0;  // 0: all
};

enum class ToolSupport {
  none,         // messages with calls or results are refused
  calls,        // calls and results; definitions have no place, as in the official template
  definitions,  // all of it
};

class ChatFormat {
 public:
  virtual ~ChatFormat() = default;
  virtual std::string_view name() const = 0;  // "deepseek-r1"
  virtual bool can_think() const { return false; }
  virtual bool thinks_by_default() const { return can_think(); }
  virtual ToolSupport tools() const { return ToolSupport::none; }
  virtual ToolCallSyntax call_syntax() const { return ToolCallSyntax::none; }  // in which the model writes calls
  virtual SamplingAdvice sampling() const = 0;

  // Errors name the message: unknown roles, contents that are missing, thinking or tools that the format does not have.
  virtual Result<RenderedPrompt> render(std::span<const ChatMessage> messages, const RenderOptions& options) const = 0;

  // What a model says after a generation prompt to answer with this message, its end token included: the part of a
  // training sequence that is learned. `thinking` as it was rendered.
  virtual Prompt completion(const ChatMessage& answer, std::optional<bool> thinking) const = 0;

  // Tokens that end an answer, by name; a tokenizer may lack some.
  virtual std::vector<std::string_view> stop_tokens() const = 0;
};

std::span<const ChatFormat* const> chat_formats();
std::string chat_format_names();  // "deepseek-v2, deepseek-v3, ..."

// By name; the error lists the names there are.
Result<const ChatFormat*> find_chat_format(std::string_view name);

// From the checkpoint's own facts: its control tokens and the text of its chat template. When they do not settle it,
// an error that lists the names to choose from; nothing is guessed. `subject` names the checkpoint.
Result<const ChatFormat*> recognise_chat_format(const Tokenizer& tokenizer, std::string_view subject);

// The stop tokens of a format that this tokenizer has; at least its own end-of-sequence token when it names one.
std::vector<TokenId> stop_token_ids(const ChatFormat& format, const Tokenizer& tokenizer);

// A Jinja template equal to the format deepseek-r1 for conversations of text, for checkpoints that hadal makes: other
// programs run it, hadal recognises it.
extern const std::string_view kDeepSeekR1Template;

}  // namespace hadal
