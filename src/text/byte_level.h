// The byte alphabet of byte-level BPE: each byte is written as one printable character.
//
// Bytes that are printable in Latin-1 stand for themselves; the other 68 are, in order, U+0100
// and up (a blank is U+0120). tokenizer.json spells its tokens so. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hadal {

char32_t byte_level_character(std::uint8_t byte) noexcept;

// Bytes -> the spelling in tokenizer.json.
std::string to_byte_level(std::string_view bytes);

// The spelling -> bytes; nothing when a character is not of the alphabet (a control token such as <｜User｜>).
std::optional<std::string> from_byte_level(std::string_view spelling);

}  // namespace hadal
