#include "cli/synth_vocabulary.h"

#include <map>
#include <string>
#include <vector>

#include "text/byte_level.h"

namespace hadal {
namespace {

struct Family {
  const char* pre;
  std::map<int, const char*> controls;  // beside beginning and end of text
};

// MODELS.md 10.2.
Family family_of(const ModelConfig& config) {
  switch (config.model_type) {
    case ModelType::deepseek_v2:
      return {"deepseek-llm", {}};
    case ModelType::qwen2:
    case ModelType::qwen3:
      return {"deepseek-r1-qwen",
              {{151644, "<｜User｜>"}, {151645, "<｜Assistant｜>"}, {151648, "<think>"}, {151649, "</think>"}}};
    case ModelType::llama:
      return {"llama-bpe",
              {{128011, "<｜User｜>"}, {128012, "<｜Assistant｜>"}, {128013, "<think>"}, {128014, "</think>"}}};
    default:
      return {"deepseek-v3",
              {{128798, "<think>"}, {128799, "</think>"}, {128803, "<｜User｜>"}, {128804, "<｜Assistant｜>"}}};
  }
}

}  // namespace

void add_synth_vocabulary(const ModelConfig& config, GgufKeys& keys) {
  constexpr std::int32_t kNormal = 1, kControl = 3;
  Family family = family_of(config);
  family.controls[index(config.bos_token_id)] = "<｜begin▁of▁sentence｜>";
  for (const TokenId id : config.eos_token_ids) family.controls[index(id)] = "<｜end▁of▁sentence｜>";

  std::vector<std::string> tokens, merges, spellings;  // spellings: of the tokens that are no control tokens
  std::vector<std::int32_t> types;
  for (int id = 0; id < config.vocab_size; ++id) {
    if (const auto control = family.controls.find(id); control != family.controls.end()) {
      tokens.emplace_back(control->second);
      types.push_back(kControl);
      continue;
    }
    // Token 256 + n is token n / 256 followed by byte n % 256: no two alike, and each made of earlier ones.
    const std::size_t n = spellings.size();
    if (n < 256) {
      spellings.push_back(to_byte_level(std::string(1, static_cast<char>(n))));
    } else {
      const std::string left = spellings[(n - 256) / 256], right = spellings[(n - 256) % 256];
      merges.push_back(left + " " + right);
      spellings.push_back(left + right);
    }
    tokens.push_back(spellings.back());
    types.push_back(kNormal);
  }
  keys.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", family.pre);
  keys.strings("tokenizer.ggml.tokens", tokens).i32s("tokenizer.ggml.token_type", types);
  keys.strings("tokenizer.ggml.merges", merges);
  keys.u32("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(index(config.bos_token_id)));
  if (!config.eos_token_ids.empty())
    keys.u32("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(index(config.eos_token_ids[0])));
  keys.boolean("tokenizer.ggml.add_bos_token", true);
}

}  // namespace hadal
