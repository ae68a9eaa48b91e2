// From a question with worked steps, or a document, to the tokens that are trained on.
//
// The form is the chat format deepseek-r1 of text/chat_format.h, the one inference uses: its prompt ends in
// "<think>\n", its completion is reasoning, "\n</think>\n\n", answer, end of sentence. The two are encoded apart,
// because at inference no merge can cross the end of the prompt. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "text/chat_format.h"
#include "text/tokenizer.h"
#include "trainer/tasks/worked_steps.h"

namespace hadal {

struct QuestionText {
  std::string question;
  WorkedExample worked;
};
struct DocumentText {  // or a part of one
  std::string text;
  bool ends = true;                                        // with the document
  std::vector<std::pair<std::size_t, std::size_t>> given;  // bytes [begin, end) that nobody could predict: not learned
};
struct ConversationText {  // its last message, an assistant's, is learned
  std::vector<ChatMessage> messages;
  bool answer_by_letters = false;  // WorkedExample's
};
using SourceText = std::variant<QuestionText, DocumentText, ConversationText>;

enum class TokenPart : std::uint8_t {
  prompt,  // learned where everything is trained on
  answer,  // always learned: reasoning, answer, document
  given,   // never learned
};

struct TrainingExample {
  std::vector<TokenId> tokens;
  std::vector<TokenPart> parts;  // one a token
};

class ExampleEncoder {
 public:
  // Error: the tokenizer lacks a control token of the form.
  static Result<ExampleEncoder> create(Tokenizer tokenizer);

  Result<TrainingExample> encode(const QuestionText& text) const;
  // Error: messages that the format cannot write.
  Result<TrainingExample> encode(const ConversationText& text) const;
  // BOS, text, and EOS where the document ends; cut into pieces of at most max_tokens.
  std::vector<TrainingExample> encode(const DocumentText& text, int max_tokens) const;

  // What a question is asked with, up to "<think>\n".
  Result<std::vector<TokenId>> prompt(const std::string& question) const;

  const Tokenizer& tokenizer() const { return tokenizer_; }
  TokenId bos() const { return bos_; }
  TokenId eos() const { return eos_; }

 private:
  Result<TrainingExample> encode_prompt(std::span<const ChatMessage> messages) const;
  // What is learned: all of `answer`, an assistant's message.
  Status append_completion(const ChatMessage& answer, bool by_letters, TrainingExample& example) const;
  Status append_by_letters(const Prompt& completion, std::string_view answer, std::vector<TokenId>& out) const;
  explicit ExampleEncoder(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {}

  Tokenizer tokenizer_;
  const ChatFormat* format_ = nullptr;
  TokenId bos_{}, eos_{};
};

}  // namespace hadal
