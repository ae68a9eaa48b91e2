#include "text/added_tokens.h"

#include <algorithm>
#include <cstdint>

#include "text/utf8.h"

namespace hadal {
namespace {

bool is_white_space(char32_t c) {  // Unicode White_Space
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::size_t strip_left(std::string_view text, std::size_t from, std::size_t begin) {
  while (begin > from) {
    std::size_t lead = begin - 1;
    while (lead > from && (static_cast<std::uint8_t>(text[lead]) & 0xC0) == 0x80) --lead;
    if (!is_white_space(first_utf8_unit(text.substr(lead)).code)) break;
    begin = lead;
  }
  return begin;
}

std::size_t strip_right(std::string_view text, std::size_t end) {
  while (end < text.size()) {
    const Utf8Unit unit = first_utf8_unit(text.substr(end));
    if (!is_white_space(unit.code)) break;
    end += unit.bytes;
  }
  return end;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(), [](const auto& a, const auto& b) { return a.content < b.content; });
  for (const AddedToken& token : tokens_) leads_[static_cast<std::uint8_t>(token.content[0])] = true;
}

std::optional<AddedTokenFinder::Match> AddedTokenFinder::find(std::string_view text, std::size_t from) const {
  for (std::size_t at = from; at < text.size(); ++at) {
    if (!leads_[static_cast<std::uint8_t>(text[at])]) continue;
    const AddedToken* token = longest_at(text.substr(at));
    if (token == nullptr) continue;
    const std::size_t end = at + token->content.size();
    return Match{token->strip_left ? strip_left(text, from, at) : at, token->strip_right ? strip_right(text, end) : end,
                 token->id};
  }
  return std::nullopt;
}

// Narrows the sorted contents byte by byte to those that the text begins with.
const AddedToken* AddedTokenFinder::longest_at(std::string_view text) const {
  const AddedToken* longest = nullptr;
  auto low = tokens_.begin(), high = tokens_.end();
  for (std::size_t depth = 0; low != high; ++depth) {
    if (low->content.size() == depth) longest = &*low++;  // sorted: the shortest of a common start comes first
    if (depth == text.size() || low == high) break;
    const auto byte = static_cast<std::uint8_t>(text[depth]);
    low = std::partition_point(low, high, [&](const auto& t) { return std::uint8_t(t.content[depth]) < byte; });
    high = std::partition_point(low, high, [&](const auto& t) { return std::uint8_t(t.content[depth]) == byte; });
  }
  return longest;
}

}  // namespace hadal
