#include "cli/gguf_vocabulary_keys.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/printable.h"
#include "spec/open_checkpoint.h"
#include "text/json_fields.h"
#include "text/tokenizer.h"

namespace hadal {
namespace {

constexpr std::uint64_t kMaxFileBytes = 64ull << 20;

Status add_directory(const std::filesystem::path& directory, const ModelConfig& config, GgufKeys& keys) {
  const std::filesystem::path path = directory / "tokenizer.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return Done{};
  HADAL_ASSIGN(const Tokenizer tokenizer, Tokenizer::from_directory(directory));  // it is sound, and says the rest
  HADAL_ASSIGN(const Json json, read_json_file(path, kMaxFileBytes));
  HADAL_ASSIGN(const std::string pre, tokenizer.gguf_pre_tokenizer(path.string()));
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
    HADAL_ASSIGN(const bool special, json_bool(added, "special", /*absent=*/false, path.string()));
    types[id] = special ? kControl : kUserDefined;
    for (const char* strip : {"lstrip", "rstrip"}) {
      HADAL_ASSIGN(const bool strips, json_bool(added, strip, /*absent=*/false, path.string()));
      if (strips)
        return Error{
            ErrorKind::unsupported,
            fmt::format("{}: added_tokens: \"{}\": {}: expected false, which is all that GGUF can say, found true",
                        path.string(), printable(tokens[id]), strip)};
    }
  }
  for (std::size_t id = 0; id < size; ++id)
    if (types[id] == kUnused) tokens[id] = fmt::format("[PAD{}]", id);
  for (const Json& merge : json.at("model").at("merges"))
    merges.push_back(merge.is_string() ? merge.get<std::string>()
                                       : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  keys.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", pre);
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
