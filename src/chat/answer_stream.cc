#include "chat/answer_stream.h"

#include <algorithm>

namespace hadal {

AnswerStream::AnswerStream(const Tokenizer& tokenizer, Options options)
    : tokenizer_(tokenizer),
      control_tokens_(options.control_tokens),
      open_tag_(tokenizer.find_control("<think>")),
      close_tag_(tokenizer.find_control("</think>")),
      detokenizer_(tokenizer),
      splitter_(options.start, tags_are_tokens() ? ReasoningSplitter::Tags::tokens : ReasoningSplitter::Tags::text),
      stop_(std::move(options.stop)) {
  if (options.calls.syntax == ToolCallSyntax::none) return;
  const auto names = ToolCallParser::markers(options.calls.syntax);
  for (const std::string_view name : names)
    if (const auto id = tokenizer.find_control(name)) markers_.push_back(*id);
  const bool all = markers_.size() == names.size();
  if (!all) markers_.clear();
  parser_.emplace(options.calls.syntax, all ? ToolCallParser::Markers::tokens : ToolCallParser::Markers::text,
                  options.calls.count);
}

Delta AnswerStream::push(TokenId token) {
  if (is_marker(token)) return marker(token);
  if (!is_text(token)) return {};
  const bool was_reasoning = splitter_.in_reasoning();
  Delta delta = tags_are_tokens() && is_tag(token) ? tag(token) : pass_on(splitter_.push(detokenizer_.push(token)));
  reasoning_tokens_ += was_reasoning || splitter_.in_reasoning();
  return delta;
}

Delta AnswerStream::tag(TokenId token) {
  using Tag = ReasoningSplitter::Tag;
  Delta delta = pass_on(splitter_.push(detokenizer_.flush()));
  delta.append(pass_on(splitter_.push_tag(token == open_tag_ ? Tag::open : Tag::close)));
  return delta;
}

// Nothing that came before it can become a tag with what follows. A model that calls has done thinking, whether or not
// it has said so; the other markers mean nothing in a thought.
Delta AnswerStream::marker(TokenId token) {
  Delta delta = pass_on(splitter_.push(detokenizer_.flush()));
  if (splitter_.in_reasoning() && token != markers_.front()) return delta;
  delta.append(pass_on(splitter_.end_thought()));
  delta.append(pass_on(parser_->push_marker(tokenizer_.token_bytes(token))));
  return delta;
}

Delta AnswerStream::finish() {
  Delta last = pass_on(splitter_.push(detokenizer_.flush()));
  last.append(pass_on(splitter_.flush()));
  if (parser_) last.append(pass_on(parser_->finish()));
  if (!stop_.stopped()) {
    const Delta held{{}, stop_.flush()};
    whole_.append(held);
    last.append(held);
  }
  return last;
}

Delta AnswerStream::pass_on(SplitText split) {
  whole_.reasoning += split.reasoning;
  Delta delta = pass_on(parser_ ? parser_->push(split.text) : ParsedText{std::move(split.text)});
  delta.reasoning = std::move(split.reasoning);
  return delta;
}

// A stop string is sought in each run of content between calls; after it nothing counts, calls neither.
Delta AnswerStream::pass_on(ParsedText parsed) {
  const bool stopped = stop_.stopped();
  Delta delta{{}, stop_.push(parsed.text)};
  if (!parsed.calls.empty() && !stop_.stopped()) delta.text += stop_.flush();
  if (!stopped && !stop_.stopped()) delta.tool_calls = std::move(parsed.calls);
  whole_.append(delta);
  return delta;
}

bool AnswerStream::is_marker(TokenId token) const {
  return std::find(markers_.begin(), markers_.end(), token) != markers_.end();
}

bool AnswerStream::is_text(TokenId token) const {
  return control_tokens_ == Options::ControlTokens::write || !tokenizer_.is_control(token) || is_tag(token);
}

}  // namespace hadal
