// One answer as it streams: token ids in, reasoning, text and tool calls out.
//
// Detokenise, split the reasoning off, take the tool calls out, end before a stop string:
// each holds back only what it must, so what comes out never cuts a character, a tag, a
// marker or a stop string.
// Threads: the engine thread alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "chat/chat_model.h"
#include "text/detokenizer.h"
#include "text/reasoning_splitter.h"
#include "text/stop_matcher.h"
#include "text/tool_call_parser.h"

namespace hadal {

class AnswerStream {
 public:
  struct Options {
    ReasoningSplitter::Start start = ReasoningSplitter::Start::answer;
    std::vector<std::string> stop{};  // in the answer, not in the reasoning
    ExpectedCalls calls{};
    // Roles and other marks that a model may write by mistake are no text; <think> and </think> are the splitter's, as
    // tokens where the vocabulary has both, else as text.
    enum class ControlTokens { drop, write } control_tokens = ControlTokens::drop;
  };
  AnswerStream(const Tokenizer& tokenizer, Options options);

  Delta push(TokenId token);
  Delta finish();  // the end: what was held back

  // A stop string was met, or a call that ends the answer: the model need not go on.
  bool stopped() const { return stop_.stopped() || (parser_ && parser_->done()); }
  int reasoning_tokens() const { return reasoning_tokens_; }
  const Delta& whole() const { return whole_; }  // all that came out

 private:
  Delta marker(TokenId token);
  Delta tag(TokenId token);
  Delta pass_on(SplitText split);
  Delta pass_on(ParsedText parsed);
  bool is_marker(TokenId token) const;
  bool is_text(TokenId token) const;
  bool is_tag(TokenId token) const { return token == open_tag_ || token == close_tag_; }
  bool tags_are_tokens() const { return open_tag_ && close_tag_; }

  const Tokenizer& tokenizer_;
  Options::ControlTokens control_tokens_;
  std::optional<TokenId> open_tag_, close_tag_;
  std::vector<TokenId> markers_;  // of calls; the one that opens them first
  Detokenizer detokenizer_;
  ReasoningSplitter splitter_;
  std::optional<ToolCallParser> parser_;
  StopMatcher stop_;
  int reasoning_tokens_ = 0;
  Delta whole_;
};

}  // namespace hadal
