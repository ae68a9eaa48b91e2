// The rules by which a vocabulary becomes a Tokenizer, whatever file it comes from: tokenizer_json.cc and
// gguf_vocabulary.cc fill one, and nobody else knows it. Errors name `subject`, the file.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/tokenizer_tables.h"

namespace hadal {

class TokenizerBuilder {
 public:
  using Tables = Tokenizer::Tables;

  explicit TokenizerBuilder(std::string_view subject) : subject_(subject) {}
  const std::string& subject() const { return subject_; }
  Tables& tables() { return *tables_; }

  static constexpr std::int64_t kMaxIds = 1 << 20;  // the largest vocabulary in use has 262,144

  void reserve(std::size_t tokens);
  // A token of the vocabulary, spelled in the byte alphabet.
  Status add_token(std::string spelling, TokenId id);
  // A token beside the vocabulary, or one of it that is now control: found in trusted text, never made from other text.
  Status add_control(const AddedToken& token);
  // After the last token and before the first merge: which token is which byte, and, with ignore_merges, whole pieces.
  void finish_tokens(bool ignore_merges);
  // In the order of rank. `where` names the merge in errors.
  Status add_merge(const std::string& left, const std::string& right, const std::string& where);

  Tokenizer build() { return Tokenizer(std::move(tables_)); }

 private:
  Result<Tables::Row*> new_row(TokenId id, const std::string& spelling);

  std::string subject_;
  std::shared_ptr<Tables> tables_ = std::make_shared<Tables>();
  std::string product_;
};

}  // namespace hadal
