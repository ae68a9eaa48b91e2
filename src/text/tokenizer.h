// Text to token ids and back: byte-level BPE as Hugging Face's tokenizer.json or a GGUF file describes it.
//
// Two kinds of text, never confused: what is trusted to hold control tokens (SpecialTokens::parse)
// and what is not (plain: no added token at all is recognised, special or not, so that nothing a user
// writes becomes <｜User｜> or <think>). A prompt mixes both as a list of parts; see Prompt.
//
// Not chat formats (chat_format.h), nor streams of ids (detokenizer.h). Ill-formed UTF-8 is encoded as
// U+FFFD; who must refuse it asks valid_utf8_bytes() first. BOS is never added here: the chat format
// writes it, and for raw text the caller asks adds_bos().
//
// Threads: constant; any thread may use it, a copy shares everything and costs a pointer.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace hadal {

enum class SpecialTokens {
  plain,  // added tokens in the text are text
  parse,  // added tokens in the text count
};

struct GgufVocabulary;  // gguf_vocabulary.h

// A prompt, before it is ids: control tokens by name, and runs of untrusted text between them. Texts that follow one
// another become one run, because a merge may cross the seam between a template's words and a user's.
class Prompt {
 public:
  struct Part {
    enum class Kind { text, control } kind;
    std::string text;  // of a control token: its name, "<｜User｜>"
    bool operator==(const Part&) const = default;
  };

  Prompt& control(std::string_view name);
  Prompt& text(std::string_view text);
  Prompt& append(const Prompt& other);

  const std::vector<Part>& parts() const { return parts_; }
  std::string string() const;  // all parts written one after another

 private:
  std::vector<Part> parts_;
};

class Tokenizer {
 public:
  // `subject` names the text in errors, "tokenizer.json".
  static Result<Tokenizer> from_json(std::string_view json, std::string_view subject);
  // The vocabulary of a GGUF file. `subject` names the file.
  static Result<Tokenizer> from_gguf(const GgufVocabulary& vocabulary, std::string_view subject);
  // tokenizer.json, and tokenizer_config.json and chat_template.jinja if they are there.
  static Result<Tokenizer> from_directory(const std::filesystem::path& directory);

  std::vector<TokenId> encode(std::string_view text, SpecialTokens special = SpecialTokens::plain) const;
  // Error: a control token that this tokenizer does not have.
  Result<std::vector<TokenId>> encode(const Prompt& prompt) const;

  // All bytes joined, then one U+FFFD for each maximal ill-formed part. Ids outside the vocabulary vanish.
  std::string decode(std::span<const TokenId> ids) const;
  // The bytes of one token, often not valid UTF-8 alone; empty for an id outside the vocabulary.
  std::string_view token_bytes(TokenId id) const;

  int vocab_size() const;  // the highest id plus one; ids may be missing below it
  // The id of an added token, or of a vocabulary entry as tokenizer.json spells it ("Ġthe").
  std::optional<TokenId> find_token(std::string_view name) const;
  std::optional<TokenId> find_control(std::string_view name) const;  // added tokens only
  bool is_control(TokenId id) const;                                 // an added token
  bool is_special(TokenId id) const;  // an added token with special: true; <think> often is not

  std::optional<TokenId> bos() const;  // as tokenizer_config.json or GGUF keys name them
  std::optional<TokenId> eos() const;
  bool adds_bos() const;  // the post-processor puts BOS before raw text (Llama's does, DeepSeek's not)
  const std::string& chat_template() const;  // Jinja text, "" without one; only ever looked at, never run

  // The name by which tokenizer.ggml.pre says how this one cuts and merges ("deepseek-v3"), for from_gguf to make the
  // same ids of any text. Error: what differs from all that have names. `subject` names the file.
  Result<std::string> gguf_pre_tokenizer(std::string_view subject) const;

  // What tokenizer_config.json says; from_directory calls it. `subject` names the file.
  Status apply_config(std::string_view json, std::string_view subject);

 private:
  friend class TokenizerBuilder;
  struct Tables;
  class PieceCache;
  explicit Tokenizer(std::shared_ptr<Tables> tables);
  void encode_plain(std::string_view text, std::vector<TokenId>& out) const;
  void encode_normalized(std::string_view text, SpecialTokens special, std::vector<TokenId>& out) const;

  std::shared_ptr<Tables> tables_;  // written only before the first use
};

}  // namespace hadal
