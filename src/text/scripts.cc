#include "text/scripts.h"

#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <cstdint>

namespace hadal {
namespace {

bool belongs_to(UScriptCode script, std::string_view language) {
  if (language == "zh") return script == USCRIPT_HAN;
  if (language == "ja") return script == USCRIPT_HAN || script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA;
  if (language == "ru") return script == USCRIPT_CYRILLIC;
  if (language == "ar") return script == USCRIPT_ARABIC;
  return script == USCRIPT_LATIN;
}

}  // namespace

double share_of_language(std::string_view text, std::string_view language) {
  std::int64_t letters = 0, own = 0;
  const auto size = static_cast<std::int32_t>(std::min<std::size_t>(text.size(), 1 << 24));
  for (std::int32_t i = 0; i < size;) {
    UChar32 c = 0;
    U8_NEXT(text.data(), i, size, c);
    if (c < 0 || !u_isalpha(c)) continue;
    UErrorCode status = U_ZERO_ERROR;
    const UScriptCode script = uscript_getScript(c, &status);
    if (U_FAILURE(status) || script == USCRIPT_COMMON || script == USCRIPT_INHERITED) continue;
    ++letters;
    own += belongs_to(script, language);
  }
  return letters == 0 ? 1 : static_cast<double>(own) / static_cast<double>(letters);
}

}  // namespace hadal
