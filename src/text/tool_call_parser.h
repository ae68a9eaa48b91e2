// Takes the tool calls out of what a model writes, while it streams.
//
// Text comes in pieces, cut anywhere, and markers come as control tokens where the vocabulary has them, else as text.
// Whatever way it is cut, the same content and the same calls come out, each as early as it is certain: a call's name
// when it is whole, its arguments as they are written. Arguments are the model's own text: whether they are valid JSON
// is for the caller to see.
//  - What only looked like a call (no name, no separator, broken JSON before the arguments) is content, markers and
//  all.
//  - Where one call is asked for, the answer ends with the marker behind it.
//  - Llama's template can write one call a turn, so its first one ends the answer: the model calls again when it has
//  the result. An object without arguments is no call of Llama's unless a marker stands before it.
//  - A call whose arguments end with the stream is a call; its arguments are what there is of them.
//  - Line breaks between content and calls, and white space between calls, belong to the format and are dropped.
// At most kMaxHeldBytes are held back.
//
// Not the splitter of reasoning. Threads: one stream, one thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

enum class ToolCallSyntax {
  none,
  deepseek_v3,   // a type, a separator, a name, and arguments between fences; V3 and R1
  deepseek_v31,  // a name, a separator, arguments
  qwen,          // <tool_call>{"name": .., "arguments": ..}</tool_call>
  llama,         // an answer that is {"name": .., "parameters": ..}
};

enum class CallCount { any, one };

// The calls that an answer is read for.
struct ExpectedCalls {
  ToolCallSyntax syntax = ToolCallSyntax::none;  // none: all of the answer is text
  CallCount count = CallCount::any;
};

struct ToolCallDelta {
  int index = 0;            // which call of the answer
  std::string name{};       // not empty: the call begins here
  std::string arguments{};  // what has been added to them
};

struct ParsedText {
  std::string text{};
  std::vector<ToolCallDelta> calls{};
};

inline constexpr std::size_t kMaxHeldBytes = 4096;

class CallGrammar;

class ToolCallParser {
 public:
  // How markers arrive. tokens: only as control tokens; a text that spells one is text.
  enum class Markers { tokens, text };
  ToolCallParser(ToolCallSyntax syntax, Markers markers, CallCount count = CallCount::any);
  ToolCallParser(ToolCallParser&&) noexcept;
  ToolCallParser& operator=(ToolCallParser&&) noexcept;
  ~ToolCallParser();

  ParsedText push(std::string_view text);
  ParsedText push_marker(std::string_view name);  // a control token; one of markers()
  ParsedText finish();                            // the end of the stream
  bool done() const;                              // the answer has ended with a call: nothing more counts

  // The control tokens that count, the one that opens calls first.
  static std::span<const std::string_view> markers(ToolCallSyntax syntax);

 private:
  void give_text(std::string_view text, ParsedText& out);
  void give_marker(std::string_view name, ParsedText& out);

  Markers markers_;
  CallCount count_;
  std::unique_ptr<CallGrammar> grammar_;
  std::span<const std::string_view> alphabet_;  // of markers
  std::string held_;                            // what may still become a marker
  bool called_ = false;                         // a call has begun
  bool over_ = false;                           // it was the only one that is asked for, and has ended
};

}  // namespace hadal
