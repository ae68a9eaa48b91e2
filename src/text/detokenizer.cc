#include "text/detokenizer.h"

#include "text/utf8.h"

namespace hadal {

std::string Detokenizer::push(TokenId id) {
  held_ += tokenizer_.token_bytes(id);
  std::string_view rest = held_;
  std::string out;
  while (!rest.empty()) {
    const std::size_t good = valid_utf8_bytes(rest);
    out.append(rest.substr(0, good));
    rest.remove_prefix(good);
    if (rest.empty()) break;
    const Utf8Unit unit = first_utf8_unit(rest);
    if (unit.kind == Utf8Kind::incomplete) break;
    out.append(kReplacementCharacter);
    rest.remove_prefix(unit.bytes);
  }
  held_ = std::string(rest);
  return out;
}

std::string Detokenizer::flush() {
  std::string out = repair_utf8(held_);
  held_.clear();
  return out;
}

}  // namespace hadal
