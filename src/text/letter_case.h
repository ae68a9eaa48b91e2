// A text's first letter as a sentence begins, or as it stands inside of one.
//
// Marks before the first letter ("¿", quotes) are passed over; scripts without case stay as they are. Any thread.
#pragma once

#include <string>
#include <string_view>

namespace hadal {

std::string with_capital(std::string_view text);     // "¿cuánto" -> "¿Cuánto"
std::string without_capital(std::string_view text);  // "Сколько" -> "сколько"

}  // namespace hadal
