// The tokens of a text file, for commands that read one. Any thread.
#pragma once

#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "spec/model_config.h"
#include "text/tokenizer.h"

namespace hadal {

// Errors: no file, no UTF-8, ids that the model does not have.
Result<std::vector<TokenId>> read_text_tokens(const std::string& path, const Tokenizer& tokenizer,
                                              const ModelConfig& config);

}  // namespace hadal
