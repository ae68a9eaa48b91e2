// Names from files, fit for one line of an error message.
#pragma once

#include <string>
#include <string_view>

namespace hadal {

// Control characters become '?', a text of more than max_bytes is cut and ends in "...". UTF-8 passes.
inline std::string printable(std::string_view text, std::size_t max_bytes = 200) {
  std::string out(text.substr(0, max_bytes));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (text.size() > max_bytes) out += "...";
  return out;
}

}  // namespace hadal
