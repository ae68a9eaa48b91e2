// Whole model directories (config.json, model.safetensors, tokenizer) of some 100 KB, made in a moment: what tests of
// chat/ and cli/ open. Two characters: one babbles, so that every bit of the arithmetic shows in its text; one says
// what it is told to, so that its text is known.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "spec/model_config.h"
#include "text/bpe_trainer.h"
#include "text/tokenizer.h"

namespace hadal::testing {

// All bytes, DeepSeek's control tokens, and the words of `words` as tokens of their own ("" gives bytes alone).
TrainedTokenizer tiny_tokenizer(std::string_view words, BpeTrainerOptions options = {});
// The same, opened.
Tokenizer opened(const TrainedTokenizer& files);
void write_tokenizer(const std::filesystem::path& directory, const TrainedTokenizer& files);

// One dense layer and one of four experts.
ModelConfig tiny_config(int vocab_size);

inline constexpr int kTinyContext = 512;

// Random weights from a fixed seed. It says any byte and any word, but never a control token: it does not end by
// itself.
void write_babbler(const std::filesystem::path& directory);

// After a generation prompt of deepseek-r1, thinking or not, it says `script`, which may hold "</think>", and ends.
// Every token of the script must differ from the others and from a line feed. Sampling changes nothing.
void write_reciter(const std::filesystem::path& directory, std::string_view script, BpeTrainerOptions options = {});

// Both, made once in a test program. The reciter's words are tokens; the bytes of "€" and "深" are tokens each.
const std::filesystem::path& babbler();
const std::filesystem::path& reciter();
inline constexpr std::string_view kReasoning = "Let me see what fish cost";
inline constexpr std::string_view kAnswer = "They are 5€ now,深 STOP and then more";

// A copy of a model's directory, whose files may be written, and a way to break one: `from`, the first in the file, by
// `to`, which is as long.
void copy_model(const std::filesystem::path& from, const std::filesystem::path& to);
void replace_in_file(const std::filesystem::path& path, std::string_view from, std::string_view to);

}  // namespace hadal::testing
