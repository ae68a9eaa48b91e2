// A model's tokenizer as the keys of a GGUF file.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "formats/gguf_writer.h"
#include "spec/model_config.h"

namespace hadal {

// Of a .gguf file the keys tokenizer.* as they are; of a directory those that its tokenizer.json comes to. Without a
// tokenizer.json nothing is added. Errors: a tokenizer that a GGUF file cannot name, for it would make other ids.
Status add_vocabulary_keys(const std::filesystem::path& model, const ModelConfig& config, GgufKeys& keys);

}  // namespace hadal
