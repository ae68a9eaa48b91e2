#include "cli/text_tokens.h"

#include <fmt/format.h>

#include "base/file.h"
#include "cli/shared_options.h"
#include "text/utf8.h"

namespace hadal {
namespace {

constexpr std::uint64_t kMaxTextBytes = 1u << 30;

}  // namespace

Result<std::vector<TokenId>> read_text_tokens(const std::string& path, const Tokenizer& tokenizer,
                                              const ModelConfig& config) {
  HADAL_ASSIGN(const std::string text, read_text_file(path, kMaxTextBytes));
  HADAL_RETURN_IF_ERROR(check_utf8(path, text));
  std::vector<TokenId> tokens = tokenizer.encode(text, SpecialTokens::plain);
  for (const TokenId token : tokens)
    if (index(token) >= config.vocab_size)
      return Error{ErrorKind::invalid, fmt::format("tokenizer.json: expected ids below {} (vocab_size), found {}",
                                                   config.vocab_size, index(token))};
  return tokens;
}

}  // namespace hadal
