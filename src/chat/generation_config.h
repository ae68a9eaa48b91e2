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
  SamplingOptions sampling;
  std::vector<TokenId> eos_token_ids;
};

// What the file leaves out is as in `otherwise`: what the model's card says, or DeepSeek's own 0.6 and 0.95.
Result<GenerationConfig> parse_generation_config(std::string_view json, std::string_view subject,
                                                 const SamplingOptions& otherwise = {});

// Without a file: `otherwise`.
Result<GenerationConfig> read_generation_config(const std::filesystem::path& model,
                                                const SamplingOptions& otherwise = {});

// Whether these options can be sampled with; the error names the first that cannot.
Status check_sampling(const SamplingOptions& options);

}  // namespace hadal
