#include "chat/answer_stream.h"

#include <algorithm>

namespace hadal {

AnswerStream::AnswerStream(const Tokenizer& tokenizer, Options options)
    : tokenizer_(tokenizer),
      control_tokens_(options.control_tokens),
      detokenizer_(tokenizer),
      splitter_(options.start),
      stop_(std::move(options.stop)) {
  for (const char* tag : {"<think>", "</think>"})
    if (const auto id = tokenizer.find_control(tag)) tags_.push_back(*id);
}

Delta AnswerStream::push(TokenId token) {
  if (!is_text(token)) return {};
  const bool was_reasoning = splitter_.in_reasoning();
  SplitText split = splitter_.push(detokenizer_.push(token));
  reasoning_tokens_ += was_reasoning || splitter_.in_reasoning();
  return pass_on(std::move(split));
}

Delta AnswerStream::finish() {
  SplitText split = splitter_.push(detokenizer_.flush());
  const SplitText rest = splitter_.flush();
  split.reasoning += rest.reasoning;
  split.text += rest.text;
  Delta last = pass_on(std::move(split));
  if (!stop_.stopped()) {
    const std::string held = stop_.flush();
    last.text += held;
    whole_.text += held;
  }
  return last;
}

Delta AnswerStream::pass_on(SplitText split) {
  Delta delta{std::move(split.reasoning), stop_.push(split.text)};
  whole_.reasoning += delta.reasoning;
  whole_.text += delta.text;
  return delta;
}

bool AnswerStream::is_text(TokenId token) const {
  return control_tokens_ == Options::ControlTokens::write || !tokenizer_.is_control(token) ||
         std::find(tags_.begin(), tags_.end(), token) != tags_.end();
}

}  // namespace hadal
