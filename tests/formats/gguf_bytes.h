// GGUF files made by hand, independent of the writer under test.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "safetensors_bytes.h"

namespace hadal {

inline std::string gguf_text(const std::string& text) {
  return raw({static_cast<std::uint64_t>(text.size())}) + text;
}
inline std::string gguf_u32_key(const std::string& key, std::uint32_t value) {
  return gguf_text(key) + raw({std::uint32_t{4}, value});
}
inline std::string gguf_string_key(const std::string& key, const std::string& value) {
  return gguf_text(key) + raw({std::uint32_t{8}}) + gguf_text(value);
}
inline std::string gguf_strings_key(const std::string& key, const std::vector<std::string>& values) {
  std::string bytes =
      gguf_text(key) + raw({std::uint32_t{9}, std::uint32_t{8}}) + raw({static_cast<std::uint64_t>(values.size())});
  for (const std::string& value : values) bytes += gguf_text(value);
  return bytes;
}

// Dimensions innermost first, as in the file.
inline std::string gguf_tensor(const std::string& name, const std::vector<std::uint64_t>& dimensions,
                               std::uint32_t type, std::uint64_t offset) {
  std::string bytes = gguf_text(name) + raw({static_cast<std::uint32_t>(dimensions.size())});
  for (const std::uint64_t d : dimensions) bytes += raw({d});
  return bytes + raw({type}) + raw({offset});
}

struct GgufBytes {
  std::vector<std::string> keys, tensors;
  std::string data;
  std::uint32_t version = 3;
  std::size_t alignment = 32;

  std::string file() const {
    std::string bytes = "GGUF" + raw({version}) +
                        raw({static_cast<std::uint64_t>(tensors.size()), static_cast<std::uint64_t>(keys.size())});
    for (const std::string& key : keys) bytes += key;
    for (const std::string& tensor : tensors) bytes += tensor;
    if (!tensors.empty()) bytes.append((alignment - bytes.size() % alignment) % alignment, '\0');
    return bytes + data;
  }
};

}  // namespace hadal
