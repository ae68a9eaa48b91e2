#include "text/byte_level.h"

#include <array>

#include "text/utf8.h"

namespace hadal {
namespace {

constexpr int kAlphabetEnd = 0x100 + 68;  // the last of the 68 moved bytes is U+0143

constexpr bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<char16_t, 256> character{};
  std::array<std::int16_t, kAlphabetEnd> byte{};  // -1: no byte

  constexpr Alphabet() {
    for (auto& value : byte) value = -1;
    char16_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      character[b] = stands_for_itself(b) ? static_cast<char16_t>(b) : next++;
      byte[character[b]] = static_cast<std::int16_t>(b);
    }
  }
};
constexpr Alphabet kAlphabet;

}  // namespace

char32_t byte_level_character(std::uint8_t byte) noexcept {
  return kAlphabet.character[byte];
}

std::string to_byte_level(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char byte : bytes) append_utf8(out, byte_level_character(static_cast<std::uint8_t>(byte)));
  return out;
}

std::optional<std::string> from_byte_level(std::string_view spelling) {
  std::string out;
  out.reserve(spelling.size());
  while (!spelling.empty()) {
    const Utf8Unit unit = first_utf8_unit(spelling);
    if (unit.kind != Utf8Kind::character || unit.code >= kAlphabetEnd || kAlphabet.byte[unit.code] < 0)
      return std::nullopt;
    out.push_back(static_cast<char>(kAlphabet.byte[unit.code]));
    spelling.remove_prefix(unit.bytes);
  }
  return out;
}

}  // namespace hadal
