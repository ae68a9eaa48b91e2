// How a conversation becomes a prompt: DeepSeek's native formats (MODELS.md 10.3, 10.4).
//
// A format writes a Prompt: control tokens by name, and texts between them. What a user or a model wrote is
// always text, so that it cannot forge a role or close a thought. Templates (Jinja) are never run, only
// recognised. Tool calls and tool messages are not written yet; they are an error.
// Any thread; formats are constants.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace hadal {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"; "developer" where the format knows it
  std::string content;
  std::string reasoning_content;  // of an assistant; past reasoning is not shown to the model again
};

struct RenderOptions {
  std::optional<bool> thinking{};       // none: the format's own default
  bool add_generation_prompt = true;    // the assistant is to speak next
  bool continue_final_message = false;  // the last message, an assistant's, is to be gone on with; it gets no end.
                                        // add_generation_prompt must be false then
};

struct RenderedPrompt {
  Prompt prompt;
  bool reasoning_open = false;  // what the model writes next is reasoning until </think>
};

class ChatFormat {
 public:
  virtual ~ChatFormat() = default;
  virtual std::string_view name() const = 0;  // "deepseek-r1"
  virtual bool can_think() const = 0;
  virtual bool thinks_by_default() const = 0;

  // Errors name the message: unknown roles, tool messages, thinking that the format does not have.
  virtual Result<RenderedPrompt> render(std::span<const ChatMessage> messages, const RenderOptions& options) const = 0;

  // What a model says after a generation prompt to answer with this message, its end token included: the part of a
  // training sequence that is learned. `thinking` as it was rendered.
  virtual Prompt completion(const ChatMessage& answer, std::optional<bool> thinking) const = 0;

  // Tokens that end an answer, by name; a tokenizer may lack some.
  virtual std::vector<std::string_view> stop_tokens() const = 0;
};

std::span<const ChatFormat* const> chat_formats();

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
