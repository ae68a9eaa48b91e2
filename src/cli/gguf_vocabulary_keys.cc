#include "cli/gguf_vocabulary_keys.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "spec/open_checkpoint.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"

namespace hadal {
namespace {

constexpr std::uint64_t kMaxFileBytes = 64ull << 20;

// The last pattern is the one that tells tokenizers apart.
void collect_patterns(const Json& json, std::vector<std::string>& patterns) {
  if (json.is_object()) {
    const auto regex = json.find("Regex");
    if (regex != json.end() && regex->is_string()) patterns.push_back(regex->get<std::string>());
  }
  if (json.is_structured())
    for (const Json& child : json) collect_patterns(child, patterns);
}

Status add_directory(const std::filesystem::path& directory, const ModelConfig& config, GgufKeys& keys) {
  const std::filesystem::path path = directory / "tokenizer.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return Done{};
  HADAL_ASSIGN(const Tokenizer tokenizer, Tokenizer::from_directory(directory));  // it is sound, and says the rest
  HADAL_ASSIGN(const Json json, read_json_file(path, kMaxFileBytes));
  std::vector<std::string> patterns;
  collect_patterns(json.value("pre_tokenizer", Json()), patterns);
  const auto pre = patterns.empty() ? std::nullopt : pre_tokenizer_of_pattern(patterns.back());
  if (!pre)
    return Error{ErrorKind::unsupported,
                 fmt::format("{}: pre_tokenizer: expected that of one of {}, for which GGUF has names; found another",
                             path.string(), known_pre_tokenizers())};
  constexpr std::int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;
  const std::size_t size = static_cast<std::size_t>(std::max(config.vocab_size, tokenizer.vocab_size()));
  std::vector<std::string> tokens(size), merges;
  std::vector<std::int32_t> types(size, kUnused);
  for (const auto& [spelling, id] : json.at("model").at("vocab").items()) {
    tokens[id.get<std::size_t>()] = spelling;
    types[id.get<std::size_t>()] = kNormal;
  }
  for (const Json& added : json.value("added_tokens", Json::array())) {
    const auto id = added.at("id").get<std::size_t>();
    tokens[id] = added.at("content").get<std::string>();
    types[id] = added.value("special", false) ? kControl : kUserDefined;
  }
  for (std::size_t id = 0; id < size; ++id)
    if (types[id] == kUnused) tokens[id] = fmt::format("[PAD{}]", id);
  for (const Json& merge : json.at("model").at("merges"))
    merges.push_back(merge.is_string() ? merge.get<std::string>()
                                       : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  keys.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", *pre);
  keys.strings("tokenizer.ggml.tokens", tokens).i32s("tokenizer.ggml.token_type", types);
  keys.strings("tokenizer.ggml.merges", merges);
  const auto id_key = [&](const char* key, std::optional<TokenId> id) {
    if (id) keys.u32(key, static_cast<std::uint32_t>(index(*id)));
  };
  id_key("tokenizer.ggml.bos_token_id", tokenizer.bos());
  id_key("tokenizer.ggml.eos_token_id", tokenizer.eos());
  keys.boolean("tokenizer.ggml.add_bos_token", tokenizer.adds_bos());
  if (!tokenizer.chat_template().empty()) keys.string("tokenizer.chat_template", tokenizer.chat_template());
  return Done{};
}

}  // namespace

Status add_vocabulary_keys(const std::filesystem::path& model, const ModelConfig& config, GgufKeys& keys) {
  if (!is_gguf(model)) return add_directory(model, config, keys);
  HADAL_ASSIGN(const Gguf source, Gguf::open(model));
  for (const auto& [key, value] : source.values())
    if (key.starts_with("tokenizer.")) keys.copy(key, value);
  return Done{};
}

}  // namespace hadal
