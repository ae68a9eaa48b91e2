// UTF-8 as bytes: where a character ends, what is ill-formed, and what replaces it.
//
// Strict (no overlong forms, no surrogates, nothing above U+10FFFF). Ill-formed input is cut
// into maximal parts, each of which counts as one U+FFFD, as WHATWG and Unicode 3.9 say.
// Not for classes of characters (split_regex.h) nor for normalisation. Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hadal {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

enum class Utf8Kind {
  character,   // a whole, well-formed character
  ill_formed,  // a maximal part that can never become one
  incomplete,  // the text ends inside what may still become one
};

struct Utf8Unit {
  Utf8Kind kind;
  std::size_t bytes;  // >= 1
  char32_t code;      // of a character; else 0
};

// The first unit of a text that is not empty.
Utf8Unit first_utf8_unit(std::string_view text) noexcept;

// The offset of the first byte that is not part of a whole character; text.size() when all is well.
std::size_t valid_utf8_bytes(std::string_view text) noexcept;

// Error: "subject: expected UTF-8, found something else at byte N".
Status check_utf8(std::string_view subject, std::string_view text);

// The text with one U+FFFD for each maximal ill-formed part, an incomplete end included.
std::string repair_utf8(std::string_view text);

void append_utf8(std::string& out, char32_t code);

}  // namespace hadal
