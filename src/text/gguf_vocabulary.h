// What a GGUF file says of its tokenizer (keys tokenizer.ggml.*, MODELS.md 8.8), without the file: text/ does not read
// GGUF. Tokenizer::from_gguf makes a Tokenizer of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

struct GgufVocabulary {
  std::string model;                      // "gpt2": byte-level BPE
  std::string pre;                        // which pre-tokenizer: "deepseek-v3", "qwen2", ...
  std::vector<std::string_view> tokens;   // spelled in the byte alphabet, by id
  std::vector<std::int64_t> token_types;  // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; or empty
  std::vector<std::string_view> merges;   // "a b", in the order of rank
  std::optional<std::int64_t> bos, eos;   // ids
  std::optional<bool> add_bos;
  std::string chat_template;
};

// Those that hadal knows, for errors: "deepseek-llm, ...".
std::string known_pre_tokenizers();

}  // namespace hadal
