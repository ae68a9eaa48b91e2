// Which script a text is written in. Any thread.
#pragma once

#include <string_view>

namespace hadal {

// The share of letters that belong to the script of a language ("zh": Han; "ja": Han and kana; "ru": Cyrillic; "ar":
// Arabic; others: Latin). 1 where there are no letters.
double share_of_language(std::string_view text, std::string_view language);

}  // namespace hadal
