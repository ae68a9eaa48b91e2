// How a checkpoint's makers want it sampled, and which tokens end an answer: generation_config.json, or the keys
// general.sampling.* of a GGUF file.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "chat/chat_model.h"
#include "formats/gguf_writer.h"

namespace hadal {

struct GenerationConfig {
  SamplingOptions sampling;
  bool says_sampling = false;  // anything of it; otherwise it is what was given beside
  std::vector<TokenId> eos_token_ids{};
};

// What a format's models are sampled with where no file says it; null: DeepSeek's own.
SamplingOptions card_sampling(const ChatFormat* format);

// What the file leaves out is as in `otherwise`: what the model's card says, or DeepSeek's own 0.6 and 0.95.
Result<GenerationConfig> parse_generation_config(std::string_view json, std::string_view subject,
                                                 const SamplingOptions& otherwise = {});

// Of a model's directory or .gguf file; without a file or a key: `otherwise`.
Result<GenerationConfig> read_generation_config(const std::filesystem::path& model,
                                                const SamplingOptions& otherwise = {});

// The keys of a GGUF file that say the same.
void add_sampling_keys(const SamplingOptions& sampling, GgufKeys& keys);

// Whether these options can be sampled with; the error names the first that cannot.
Status check_sampling(const SamplingOptions& options);

}  // namespace hadal
