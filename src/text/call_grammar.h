// What a ToolCallParser asks of a syntax: it gets text and markers in order, and says what they are.
//
// Text comes cut anywhere; a grammar looks at it byte by byte, so that cuts cannot matter. Used by tool_call_parser.cc.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "text/tool_call_parser.h"

namespace hadal {

class CallGrammar {
 public:
  virtual ~CallGrammar() = default;
  virtual void text(std::string_view piece, ParsedText& out) = 0;
  virtual void marker(std::string_view name, ParsedText& out) = 0;
  virtual void end(ParsedText& out) = 0;
  virtual bool done() const { return false; }  // what still comes counts for nothing

 protected:
  void begin_call(std::string name, ParsedText& out) {
    out.calls.push_back({.index = ++last_call_, .name = std::move(name)});
  }
  void add_arguments(std::string_view text, ParsedText& out) {
    if (text.empty()) return;
    if (out.calls.empty() || out.calls.back().index != last_call_) out.calls.push_back({.index = last_call_});
    out.calls.back().arguments += text;
  }

 private:
  int last_call_ = -1;
};

// Content beside calls: line breaks at its end are held back until it is known whether a call follows them.
class CallContent {
 public:
  void add(char c, ParsedText& out);
  std::string take_held() { return std::exchange(held_, {}); }  // a call may follow: it drops them, or gives them back
  void after_call() { only_white_ = true; }                     // white space alone after a call is no content
  void end(ParsedText& out);

 private:
  std::string held_;
  bool only_white_ = false;
};

std::unique_ptr<CallGrammar> deepseek_call_grammar(ToolCallSyntax syntax);  // deepseek_v3, deepseek_v31
std::unique_ptr<CallGrammar> json_call_grammar(ToolCallSyntax syntax);      // qwen, llama

namespace call_markers {
// DeepSeek's; the bars are U+FF5C, the low lines U+2581.
inline constexpr std::string_view kCallsBegin = "<｜tool▁calls▁begin｜>", kCallsEnd = "<｜tool▁calls▁end｜>";
inline constexpr std::string_view kCallBegin = "<｜tool▁call▁begin｜>", kCallEnd = "<｜tool▁call▁end｜>";
inline constexpr std::string_view kSep = "<｜tool▁sep｜>";
inline constexpr std::string_view kQwenCall = "<tool_call>", kQwenCallEnd = "</tool_call>";
inline constexpr std::string_view kLlamaCode = "<|python_tag|>";
}  // namespace call_markers

}  // namespace hadal
