#include "text/letter_case.h"

#include <unicode/uchar.h>

#include "text/utf8.h"

namespace hadal {
namespace {

std::string with_first_letter(std::string_view text, UChar32 (*changed)(UChar32)) {
  std::size_t at = 0;
  while (at < text.size()) {
    const Utf8Unit unit = first_utf8_unit(text.substr(at));
    if (u_isalnum(static_cast<UChar32>(unit.code))) {
      std::string out(text.substr(0, at));
      append_utf8(out, static_cast<char32_t>(changed(static_cast<UChar32>(unit.code))));
      return out.append(text.substr(at + unit.bytes));
    }
    at += unit.bytes;
  }
  return std::string(text);
}

}  // namespace

std::string with_capital(std::string_view text) {
  return with_first_letter(text, u_toupper);
}

std::string without_capital(std::string_view text) {
  return with_first_letter(text, u_tolower);
}

}  // namespace hadal
