#include "trainer/example.h"

#include <algorithm>

#include "text/utf8.h"

namespace hadal {
namespace {

constexpr std::string_view kBos = "<｜begin▁of▁sentence｜>", kEos = "<｜end▁of▁sentence｜>";

void append(std::vector<TokenId>& out, const std::vector<TokenId>& more) {
  out.insert(out.end(), more.begin(), more.end());
}

// Each character by itself: words spelt letter by letter are not learned through merged tokens.
void append_letters(const Tokenizer& tokenizer, std::string_view text, std::vector<TokenId>& out) {
  while (!text.empty()) {
    const std::size_t bytes = first_utf8_unit(text).bytes;
    append(out, tokenizer.encode(text.substr(0, bytes)));
    text.remove_prefix(bytes);
  }
}

}  // namespace

Result<ExampleEncoder> ExampleEncoder::create(Tokenizer tokenizer) {
  ExampleEncoder encoder(std::move(tokenizer));
  HADAL_ASSIGN(encoder.format_, find_chat_format("deepseek-r1"));
  HADAL_ASSIGN(const std::vector<TokenId> ends, encoder.tokenizer_.encode(Prompt().control(kBos).control(kEos)));
  encoder.bos_ = ends[0];
  encoder.eos_ = ends[1];
  // A tokenizer that lacks another control token of the form is found out here and not in the middle of a run.
  HADAL_RETURN_IF_ERROR(encoder.encode(QuestionText{"1", {"1", "1"}}));
  return encoder;
}

Result<TrainingExample> ExampleEncoder::encode(const QuestionText& text) const {
  const ChatMessage question{.role = "user", .content = text.question, .reasoning_content = {}};
  const ChatMessage answer{
      .role = "assistant", .content = text.worked.answer, .reasoning_content = text.worked.reasoning};
  HADAL_ASSIGN(TrainingExample example, encode_prompt(std::span(&question, 1)));
  HADAL_RETURN_IF_ERROR(append_completion(answer, text.worked.answer_by_letters, example));
  return example;
}

Result<std::vector<TokenId>> ExampleEncoder::prompt(const std::string& question) const {
  const ChatMessage message{.role = "user", .content = question, .reasoning_content = {}};
  HADAL_ASSIGN(TrainingExample example, encode_prompt(std::span(&message, 1)));
  return std::move(example.tokens);
}

Result<TrainingExample> ExampleEncoder::encode(const ConversationText& text) const {
  HADAL_CHECK(!text.messages.empty());
  HADAL_ASSIGN(TrainingExample example, encode_prompt(std::span(text.messages.data(), text.messages.size() - 1)));
  HADAL_RETURN_IF_ERROR(append_completion(text.messages.back(), text.answer_by_letters, example));
  return example;
}

Result<TrainingExample> ExampleEncoder::encode_prompt(std::span<const ChatMessage> messages) const {
  HADAL_ASSIGN(const RenderedPrompt rendered, format_->render(messages, RenderOptions{}));
  TrainingExample example;
  HADAL_ASSIGN(example.tokens, tokenizer_.encode(rendered.prompt));
  example.parts.assign(example.tokens.size(), TokenPart::prompt);
  return example;
}

Status ExampleEncoder::append_completion(const ChatMessage& answer, bool by_letters, TrainingExample& example) const {
  const Prompt completion = format_->completion(answer, std::nullopt);
  if (by_letters) {
    HADAL_RETURN_IF_ERROR(append_by_letters(completion, answer.content, example.tokens));
  } else {
    HADAL_ASSIGN(const std::vector<TokenId> learned, tokenizer_.encode(completion));
    append(example.tokens, learned);
  }
  example.parts.resize(example.tokens.size(), TokenPart::answer);
  return Done{};
}

Status ExampleEncoder::append_by_letters(const Prompt& completion, std::string_view answer,
                                         std::vector<TokenId>& out) const {
  for (std::size_t i = 0; i < completion.parts().size(); ++i) {
    const Prompt::Part& part = completion.parts()[i];
    const std::string_view written = part.text;
    if (part.kind == Prompt::Part::Kind::control) {
      HADAL_ASSIGN(const std::vector<TokenId> control, tokenizer_.encode(Prompt().control(part.text)));
      append(out, control);
    } else if (i + 2 == completion.parts().size() && written.ends_with(answer)) {  // the end token is the last part
      append(out, tokenizer_.encode(written.substr(0, written.size() - answer.size())));
      append_letters(tokenizer_, answer, out);
    } else {
      append(out, tokenizer_.encode(written));
    }
  }
  return Done{};
}

std::vector<TrainingExample> ExampleEncoder::encode(const DocumentText& text, int max_tokens) const {
  TrainingExample whole{{bos_}, {TokenPart::prompt}};
  append(whole.tokens, tokenizer_.encode(text.text));
  std::size_t byte = 0;
  auto given = text.given.begin();
  for (std::size_t i = 1; i < whole.tokens.size(); ++i) {
    while (given != text.given.end() && byte >= given->second) ++given;
    whole.parts.push_back(given != text.given.end() && byte >= given->first ? TokenPart::given : TokenPart::answer);
    byte += tokenizer_.token_bytes(whole.tokens[i]).size();
  }
  if (text.ends) {
    whole.tokens.push_back(eos_);
    whole.parts.push_back(TokenPart::answer);
  }
  std::vector<TrainingExample> pieces;
  // A piece begins with the token that the one before ended with, so that every token but BOS is a target once.
  for (std::size_t begin = 0; begin + 1 < whole.tokens.size(); begin += static_cast<std::size_t>(max_tokens) - 1) {
    const auto from = static_cast<std::ptrdiff_t>(begin);
    const auto to =
        static_cast<std::ptrdiff_t>(std::min(whole.tokens.size(), begin + static_cast<std::size_t>(max_tokens)));
    pieces.push_back({{whole.tokens.begin() + from, whole.tokens.begin() + to},
                      {whole.parts.begin() + from, whole.parts.begin() + to}});
  }
  return pieces;
}

}  // namespace hadal
