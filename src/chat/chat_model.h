// The one way to have text generated: cli and server both go through here.
//
// A ChatModel owns the weights, the tokenizer, the chat format and the engine,
// and one thread that runs the engine's step() while there is work. submit()
// takes messages (or a raw prompt) and returns at once; text arrives through the
// request's callbacks, split into reasoning and answer, never cutting a character.
//
// Threads: every public function may be called from any thread. Callbacks are
// called on the engine thread: they must be quick, must not block and must not
// call back into this ChatModel (except cancel()). For one request they never
// run at the same time, and on_done is the last.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "text/chat_format.h"

namespace hadal {

class Tokenizer;
struct ModelConfig;

struct SamplingOptions {
  double temperature = 0.6;  // 0: greedy
  double top_p = 0.95;
  int top_k = 0;             // 0: all
  double min_p = 0;
  std::optional<std::uint64_t> seed;  // none: drawn from the system's entropy
};

enum class FinishReason { stop, length, tool_calls, cancelled, error };
const char* finish_reason_name(FinishReason reason);  // "stop", "length", ... as the OpenAI API spells them

struct Usage {
  int prompt_tokens = 0;
  int cached_prompt_tokens = 0;  // of them, taken from the prefix cache
  int completion_tokens = 0;     // reasoning included
  int reasoning_tokens = 0;
};

struct Timings {
  std::chrono::nanoseconds queued{}, prefill{}, decode{};  // wall time of this request
};

struct Delta {  // what became readable since the last call; each may be empty
  std::string reasoning, text;
  std::vector<ToolCallDelta> tool_calls{};

  bool empty() const { return reasoning.empty() && text.empty() && tool_calls.empty(); }
  void append(const Delta& next) {  // as if both had come at once
    reasoning += next.reasoning;
    text += next.text;
    for (const ToolCallDelta& call : next.tool_calls) {
      if (call.name.empty() && !tool_calls.empty() && tool_calls.back().index == call.index)
        tool_calls.back().arguments += call.arguments;
      else
        tool_calls.push_back(call);
    }
  }
};

struct Completion {
  std::string reasoning, text;              // all of it
  std::vector<ToolCallDelta> tool_calls{};  // whole; arguments are the model's own text, seldom broken JSON
  FinishReason finish_reason = FinishReason::stop;
  std::optional<Error> error;  // when finish_reason is error
  Usage usage;
  Timings timings;
};

enum class ToolChoice {
  none,       // whatever the model writes is text
  automatic,  // calls are taken out of the answer
};

struct GenerationRequest {
  std::vector<ChatMessage> messages;      // rendered by the model's chat format ...
  std::optional<std::string> raw_prompt;  // ... or this text as it is; control tokens in it count
  std::optional<bool> thinking;           // none: the format's own default
  std::optional<OrderedJson> tools{};     // a list of definitions; without ToolChoice::automatic it is not shown
  ToolChoice tool_choice = ToolChoice::none;
  CallCount call_count = CallCount::any;  // one: the answer ends behind its first call
  SamplingOptions sampling;
  int max_tokens = 0;                     // 0: as many as the context holds
  std::vector<std::string> stop;          // generation ends before the first of these in the answer
  int holder = 0;                         // of a key: what was computed is reused for the same holder alone

  std::function<void(const Delta&)> on_delta;         // may be empty
  std::function<void(const Completion&)> on_done;     // called exactly once
};

struct EngineStats {
  int active_sequences = 0, waiting_sequences = 0;
  int pages_total = 0, pages_free = 0;       // free: neither held by a sequence nor kept as a reusable prefix
  int pages_held = 0;                        // held by running sequences; 0 when idle
  std::uint64_t prompt_tokens = 0, cached_prompt_tokens = 0, completion_tokens = 0, requests = 0;
};

struct OpenOptions {
  bool exact = false;
  int threads = 0;         // 0: all
  int context_tokens = 0;  // per sequence; 0: what the model allows, within memory
  int max_sequences = 64;
  std::string format{};    // of the chat, by name; empty: recognised
  // A model whose format is not recognised is an error: it would refuse each chat.
  bool only_chats = false;
};

// How submit()'s error of a prompt that the context has no room for begins; no other error does.
inline constexpr std::string_view kPromptTooLong = "prompt has ";

class ChatModel {
 public:
  // model: a directory, or a built-in name ("abyss").
  static Result<std::unique_ptr<ChatModel>> open(const std::string& model, const OpenOptions& options);
  virtual ~ChatModel() = default;

  // Errors are found before anything is queued: too long a prompt (kPromptTooLong), unknown role, invalid parameters.
  virtual Result<SequenceId> submit(GenerationRequest request) = 0;
  // Ends a request soon; its on_done comes with FinishReason::cancelled. Unknown or finished ids are ignored.
  virtual void cancel(SequenceId id) = 0;
  // submit() and wait.
  virtual Result<Completion> generate(GenerationRequest request) = 0;

  virtual EngineStats stats() const = 0;
  virtual const ModelConfig& config() const = 0;
  virtual const Tokenizer& tokenizer() const = 0;
  virtual const std::string& name() const = 0;  // "abyss", or the directory's last part
  virtual SamplingOptions default_sampling() const = 0;  // generation_config.json, else the family's card
  virtual int context_tokens() const = 0;
  virtual int threads() const = 0;  // that compute
};

}  // namespace hadal
