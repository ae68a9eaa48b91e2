// generation_config.json: how a checkpoint's makers want it sampled, and which tokens end an answer.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "chat/chat_model.h"

namespace hadal {

struct GenerationConfig {
  SamplingOptions sampling;  // what the file leaves out keeps hadal's default, DeepSeek's own 0.6 and 0.95
  std::vector<TokenId> eos_token_ids;
};

Result<GenerationConfig> parse_generation_config(std::string_view json, std::string_view subject);

// Without a file: the defaults.
Result<GenerationConfig> read_generation_config(const std::filesystem::path& directory);

// Whether these options can be sampled with; the error names the first that cannot.
Status check_sampling(const SamplingOptions& options);

}  // namespace hadal
