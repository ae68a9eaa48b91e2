// Reads tokenizer.json and tokenizer_config.json into a Tokenizer, refusing by name what hadal does not know.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "text/json_fields.h"
#include "text/tokenizer_builder.h"

namespace hadal {
namespace {

constexpr std::int64_t kMaxIds = TokenizerBuilder::kMaxIds;
constexpr std::uint64_t kMaxFileBytes = 64ull << 20;  // Llama-3's has 17 MB

Error invalid(std::string message) {
  return {ErrorKind::invalid, std::move(message)};
}
Error unsupported(std::string message) {
  return {ErrorKind::unsupported, std::move(message)};
}

std::string type_of(const Json& json) {
  const Json* type = json_field(json, "type");
  return type == nullptr ? json_excerpt(json) : type->is_string() ? type->get<std::string>() : json_excerpt(*type);
}

}  // namespace

class TokenizerReader {
 public:
  explicit TokenizerReader(std::string_view subject) : subject_(subject), builder_(subject) {}

  Result<Tokenizer> read(const Json& json) {
    if (!json.is_object())
      return invalid(fmt::format("{}: expected an object, found {}", subject_, json_excerpt(json)));
    HADAL_ASSIGN(const Json* model, json_object(json, "model", subject_));
    HADAL_RETURN_IF_ERROR(check_model(*model));
    HADAL_RETURN_IF_ERROR(read_vocabulary(*model));
    HADAL_RETURN_IF_ERROR(read_normalizer(json_field(json, "normalizer")));
    HADAL_RETURN_IF_ERROR(read_added_tokens(json_field(json, "added_tokens")));
    HADAL_RETURN_IF_ERROR(read_merges(*model));
    HADAL_RETURN_IF_ERROR(read_pre_tokenizer(json_field(json, "pre_tokenizer")));
    HADAL_RETURN_IF_ERROR(check_decoder(json_field(json, "decoder")));
    if (const Json* post = json_field(json, "post_processor")) builder_.tables().adds_bos = begins_with_special(*post, 0);
    return builder_.build();
  }

 private:
  Status check_model(const Json& model) {
    if (type_of(model) != "BPE")
      return unsupported(fmt::format("{}: model: expected type BPE, found {}", subject_, type_of(model)));
    for (const char* key :
         {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback"}) {
      const Json* field = json_field(model, key);
      const bool off = field == nullptr || *field == Json(false) || *field == Json("") || *field == Json(0);
      if (!off)
        return unsupported(fmt::format("{}: model: {}: expected none, found {}", subject_, key, json_excerpt(*field)));
    }
    return Done{};
  }

  Status read_vocabulary(const Json& model) {
    HADAL_ASSIGN(const Json* vocab, json_object(model, "vocab", subject_ + ": model"));
    builder_.reserve(vocab->size());
    for (const auto& [spelling, value] : vocab->items()) {
      const bool whole =
          value.is_number_integer() && (!value.is_number_unsigned() || value.get<std::uint64_t>() < kMaxIds);
      const std::int64_t id = whole ? value.get<std::int64_t>() : -1;
      if (id < 0 || id >= kMaxIds)
        return invalid(fmt::format("{}: model: vocab: \"{}\": expected an id from 0 to {}, found {}", subject_,
                                   spelling, kMaxIds - 1, json_excerpt(value)));
      HADAL_RETURN_IF_ERROR(builder_.add_token(spelling, TokenId(id)));
    }
    HADAL_ASSIGN(const bool ignore_merges, json_bool(model, "ignore_merges", /*absent=*/false, subject_ + ": model"));
    ignore_merges_ = ignore_merges;
    return Done{};
  }

  Status read_normalizer(const Json* json, int depth = 0) {
    if (json == nullptr) return Done{};
    const std::string type = type_of(*json);
    if (type == "NFC") {
      builder_.tables().nfc = true;
      return Done{};
    }
    if (type != "Sequence" || depth > 0)
      return unsupported(
          fmt::format("{}: normalizer: expected NFC, a Sequence of it or none, found {}", subject_, type));
    HADAL_ASSIGN(const Json* list, json_array(*json, "normalizers", subject_ + ": normalizer"));
    for (const Json& item : *list) HADAL_RETURN_IF_ERROR(read_normalizer(&item, depth + 1));
    return Done{};
  }

  Status read_added_tokens(const Json* list) {
    if (list == nullptr) return Done{};
    if (!list->is_array()) return json_field_error(subject_, "added_tokens", "a list", list);
    std::vector<AddedToken> before, after;
    for (std::size_t i = 0; i < list->size(); ++i) {
      HADAL_ASSIGN(AddedToken token, added_token((*list)[i], fmt::format("{}: added_tokens[{}]", subject_, i)));
      (token.normalized ? after : before).push_back(std::move(token));
    }
    builder_.tables().before_normalizer = AddedTokenFinder(std::move(before));
    builder_.tables().after_normalizer = AddedTokenFinder(std::move(after));
    return Done{};
  }

  Result<AddedToken> added_token(const Json& json, const std::string& subject) {
    AddedToken token;
    HADAL_ASSIGN(token.content, json_string(json, "content", subject));
    HADAL_ASSIGN(const std::int64_t id, json_integer(json, "id", 0, kMaxIds, subject));
    HADAL_ASSIGN(token.strip_left, json_bool(json, "lstrip", false, subject));
    HADAL_ASSIGN(token.strip_right, json_bool(json, "rstrip", false, subject));
    HADAL_ASSIGN(token.normalized, json_bool(json, "normalized", false, subject));
    HADAL_ASSIGN(token.special, json_bool(json, "special", false, subject));
    HADAL_ASSIGN(const bool single_word, json_bool(json, "single_word", false, subject));
    if (single_word) return unsupported(fmt::format("{}: single_word: expected false, found true", subject));
    token.id = TokenId(id);
    HADAL_RETURN_IF_ERROR(builder_.add_control(token));
    return token;
  }

  Status read_merges(const Json& model) {
    builder_.finish_tokens(ignore_merges_);
    HADAL_ASSIGN(const Json* merges, json_array(model, "merges", subject_ + ": model"));
    builder_.tables().bpe.reserve_merges(merges->size());
    for (std::size_t i = 0; i < merges->size(); ++i) HADAL_RETURN_IF_ERROR(read_merge((*merges)[i], i));
    return Done{};
  }

  Status read_merge(const Json& merge, std::size_t rank) {
    const auto where = [&] { return fmt::format("model: merges[{}]", rank); };
    const auto malformed = [&] {
      return invalid(fmt::format("{}: {}: expected \"a b\" or [\"a\", \"b\"], found {}", subject_, where(), json_excerpt(merge)));
    };
    std::string left, right;
    if (merge.is_string()) {
      const auto& both = merge.get_ref<const std::string&>();
      const std::size_t blank = both.find(' ');
      if (blank == std::string::npos || both.find(' ', blank + 1) != std::string::npos) return malformed();
      left = both.substr(0, blank), right = both.substr(blank + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get<std::string>(), right = merge[1].get<std::string>();
    } else {
      return malformed();
    }
    return builder_.add_merge(left, right, where());
  }

  Status read_pre_tokenizer(const Json* json) {
    if (json == nullptr)
      return unsupported(fmt::format("{}: pre_tokenizer: expected one of byte-level BPE, found none", subject_));
    HADAL_ASSIGN(builder_.tables().pre_tokenizer, PreTokenizer::from_json(*json, subject_));
    if (!has_byte_level(*json))
      return unsupported(
          fmt::format("{}: pre_tokenizer: expected a ByteLevel step, found {}", subject_, type_of(*json)));
    return Done{};
  }

  static bool has_byte_level(const Json& json) {  // its depth has been checked by PreTokenizer
    if (type_of(json) == "ByteLevel") return true;
    const Json* list = json_field(json, "pretokenizers");
    return list != nullptr && std::any_of(list->begin(), list->end(), has_byte_level);
  }

  Status check_decoder(const Json* decoder) {
    if (decoder != nullptr && type_of(*decoder) == "ByteLevel") return Done{};
    return unsupported(fmt::format("{}: decoder: expected ByteLevel, found {}", subject_,
                                   decoder == nullptr ? "none" : type_of(*decoder)));
  }

  static bool begins_with_special(const Json& post, int depth) {
    if (depth > 2) return false;
    if (type_of(post) == "Sequence") {
      const Json* list = json_field(post, "processors");
      if (list == nullptr || !list->is_array()) return false;
      return std::any_of(list->begin(), list->end(), [&](const Json& p) { return begins_with_special(p, depth + 1); });
    }
    const Json* single = json_field(post, "single");
    return type_of(post) == "TemplateProcessing" && single != nullptr && single->is_array() && !single->empty() &&
           json_field((*single)[0], "SpecialToken") != nullptr;
  }

  std::string subject_;
  TokenizerBuilder builder_;
  bool ignore_merges_ = false;
};

Result<Tokenizer> Tokenizer::from_json(std::string_view json, std::string_view subject) {
  HADAL_ASSIGN(const Json tree, parse_json(json, subject));
  return TokenizerReader(subject).read(tree);
}

Result<Tokenizer> Tokenizer::from_directory(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / "tokenizer.json";
  HADAL_ASSIGN(const std::string json, read_text_file(file, kMaxFileBytes));
  HADAL_ASSIGN(Tokenizer tokenizer, from_json(json, file.string()));
  const std::filesystem::path config = directory / "tokenizer_config.json";
  std::error_code ignored;
  if (std::filesystem::exists(config, ignored)) {
    HADAL_ASSIGN(const std::string text, read_text_file(config, kMaxFileBytes));
    HADAL_RETURN_IF_ERROR(tokenizer.apply_config(text, config.string()));
  }
  const std::filesystem::path jinja = directory / "chat_template.jinja";
  if (std::filesystem::exists(jinja, ignored)) {
    HADAL_ASSIGN(tokenizer.tables_->chat_template, read_text_file(jinja, kMaxFileBytes));
  }
  return tokenizer;
}

Status Tokenizer::apply_config(std::string_view json, std::string_view subject) {
  HADAL_ASSIGN(const Json config, parse_json(json, subject));
  if (!config.is_object())
    return invalid(fmt::format("{}: expected an object, found {}", subject, json_excerpt(config)));
  const auto named = [&](const char* key) -> Result<std::optional<TokenId>> {
    const Json* value = json_field(config, key);
    if (value == nullptr) return std::optional<TokenId>();
    const Json* content = value->is_object() ? json_field(*value, "content") : value;
    if (content == nullptr || !content->is_string())
      return json_field_error(subject, key, "the name of a token", value);
    const auto id = find_token(content->get_ref<const std::string&>());
    if (!id) return json_field_error(subject, key, "a token of the vocabulary", value);
    return id;
  };
  HADAL_ASSIGN(tables_->bos, named("bos_token"));
  HADAL_ASSIGN(tables_->eos, named("eos_token"));
  const Json* chat_template = json_field(config, "chat_template");
  if (chat_template != nullptr && chat_template->is_array()) {  // several by name; "default" is the one for chats
    for (const Json& entry : *chat_template) {
      const Json* name = json_field(entry, "name");
      if (name != nullptr && *name == Json("default")) {
        chat_template = json_field(entry, "template");
        break;
      }
    }
  }
  if (chat_template != nullptr && chat_template->is_string())
    tables_->chat_template = chat_template->get<std::string>();
  return Done{};
}

}  // namespace hadal
