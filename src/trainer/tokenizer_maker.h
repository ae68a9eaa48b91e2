// The run's tokenizer: read from a directory, or trained on a sample of the run's own sources.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "text/tokenizer.h"
#include "trainer/data_source.h"
#include "trainer/recipe.h"
#include "trainer/training_state.h"

namespace hadal {

// A byte-level BPE on texts of the sources, in the shares of the first stage, sample_bytes in all.
Result<TokenizerFiles> train_tokenizer(const Recipe& recipe, std::span<const std::unique_ptr<DataSource>> sources);

Result<TokenizerFiles> read_tokenizer_files(const std::filesystem::path& directory);
Status write_tokenizer_files(const std::filesystem::path& directory, const TokenizerFiles& files);
Result<Tokenizer> make_tokenizer(const TokenizerFiles& files);

// An error unless every id is the same text to `tokenizer` as to the one of `model`, whose rows are those tokens'; a
// model without a tokenizer.json (a .gguf file) is not checked.
Status check_tokens_of(const std::filesystem::path& model, const Tokenizer& tokenizer, std::string_view subject);

// Of a model's embedding for this tokenizer: one an id, or as many as `model` has (empty: none), whose weights it
// begins with: published ones have some more. Error: it has fewer.
Result<int> embedding_rows(const Tokenizer& tokenizer, const std::filesystem::path& model);

}  // namespace hadal
