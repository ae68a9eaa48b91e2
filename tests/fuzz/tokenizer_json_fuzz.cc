// Any bytes as tokenizer.json: an error, or a tokenizer whose plain encoding holds no control token and never
// crashes. What follows the first NUL byte is the text to encode.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hadal;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t nul = all.find('\0');
  const std::string_view text = nul == all.npos ? "Hello <x> 123\u4E2D\xFF" : all.substr(nul + 1);
  auto tokenizer = Tokenizer::from_json(all.substr(0, nul), "tokenizer.json");
  if (!tokenizer.ok()) {
    HADAL_CHECK(!tokenizer.error().message.empty());
    return 0;
  }
  for (const TokenId id : tokenizer->encode(text, SpecialTokens::plain)) HADAL_CHECK(!tokenizer->is_control(id));
  const auto ids = tokenizer->encode(text, SpecialTokens::parse);
  Detokenizer stream(*tokenizer);
  std::string streamed;
  for (const TokenId id : ids) streamed += stream.push(id);
  streamed += stream.flush();
  HADAL_CHECK(streamed == tokenizer->decode(ids));
  HADAL_CHECK(valid_utf8_bytes(streamed) == streamed.size());
  return 0;
}
