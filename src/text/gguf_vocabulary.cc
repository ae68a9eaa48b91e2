#include "text/gguf_vocabulary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <unordered_set>

#include "base/check.h"
#include "base/printable.h"
#include "text/byte_level.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_builder.h"
#include "text/utf8.h"

namespace hadal {
namespace {

// MODELS.md 10.1. Each pattern cuts inside the pieces that the one before left.
constexpr std::string_view kDigits[] = {R"(\p{N})"};
constexpr std::string_view kDeepSeekV3[] = {
    R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
// Cased letters of the scripts that have cases, by number where an editor that normalises would put another in their
// place. Digits go one by one, as in the published tokenizer.json; another program that reads GGUF takes them in runs.
constexpr std::string_view kDeepSeekLlm[] = {
    R"([\r\n])",
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-"
    "ὗὙὛὝ\\x{1F5F}-\\x{1F7D}ᾀ-ᾴᾶ-ᾼ\\x{1FBE}ῂ-ῄῆ-ῌ\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ"
    "\\x{2126}ℨ\\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-"
    "𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
    "\\s?[!-/:-~！-／：-～‘-‟　-。]+",
    R"(\s+$)",
    "[一-龥ࠀ-一가-퟿]+",
    kDigits[0]};
constexpr std::string_view kDeepSeekCoder[] = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[一-龥ࠀ-一가-퟿]+",
                                               kDigits[0]};
constexpr std::string_view kQwen2[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr std::string_view kLlama3[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr std::string_view kSmolLm[] = {kDigits[0], kGpt2Pattern};
// Han by itself; then words of other scripts, with their lower-case end or their upper-case beginning.
constexpr std::string_view kKimiK2[] = {
    R"(\p{sc:Han}+|)"
    R"([^\r\n\p{L}\p{N}]?(?:(?!\p{sc:Han})[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])*(?:(?!\p{sc:Han})[\p{Ll}\p{Lm}\p{Lo}\p{M}])+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?(?:(?!\p{sc:Han})[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])+(?:(?!\p{sc:Han})[\p{Ll}\p{Lm}\p{Lo}\p{M}])*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

struct PreTokenizerKind {
  std::string_view name;
  std::span<const std::string_view> patterns;
  bool nfc = false, ignore_merges = false, adds_bos = false;
};
// Qwen's text is normalised to NFC, as in its tokenizer.json; the other program that reads these files leaves that out.
// Of two names for the same the first is written.
constexpr std::array kKinds = std::to_array<PreTokenizerKind>({{"deepseek-llm", kDeepSeekLlm},
                                                               {"deepseek-coder", kDeepSeekCoder},
                                                               {"deepseek-v3", kDeepSeekV3},
                                                               {"qwen2", kQwen2, /*nfc=*/true},
                                                               {"deepseek-r1-qwen", kQwen2, /*nfc=*/true},
                                                               {"llama-bpe", kLlama3, false, true, true},
                                                               {"smollm", kSmolLm},
                                                               {"kimi-k2", kKimiK2}});

enum TokenType : std::int64_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

class GgufVocabularyReader {
 public:
  GgufVocabularyReader(const GgufVocabulary& vocabulary, std::string_view subject)
      : v_(vocabulary), builder_(subject) {}

  Result<Tokenizer> read() {
    HADAL_ASSIGN(const PreTokenizerKind* kind, find_kind());
    HADAL_RETURN_IF_ERROR(check_sizes());
    HADAL_RETURN_IF_ERROR(read_tokens());
    builder_.finish_tokens(kind->ignore_merges);
    HADAL_RETURN_IF_ERROR(read_merges());
    TokenizerBuilder::Tables& tables = builder_.tables();
    tables.nfc = kind->nfc;
    HADAL_ASSIGN(tables.pre_tokenizer, PreTokenizer::from_patterns(kind->patterns, kind->name));
    HADAL_ASSIGN(tables.bos, token("tokenizer.ggml.bos_token_id", v_.bos));
    HADAL_ASSIGN(tables.eos, token("tokenizer.ggml.eos_token_id", v_.eos));
    tables.adds_bos = tables.bos.has_value() && v_.add_bos.value_or(kind->adds_bos);
    tables.chat_template = v_.chat_template;
    return builder_.build();
  }

 private:
  Error error(std::string_view key, std::string_view expected, std::string_view found,
              ErrorKind kind = ErrorKind::invalid) const {
    return Error{kind, fmt::format("{}: key {}: expected {}, found {}", builder_.subject(), key, expected, found)};
  }

  Result<const PreTokenizerKind*> find_kind() const {
    if (v_.model != "gpt2")
      return error("tokenizer.ggml.model", "gpt2 (byte-level BPE)", v_.model.empty() ? "none" : printable(v_.model),
                   ErrorKind::unsupported);
    for (const PreTokenizerKind& kind : kKinds)
      if (kind.name == v_.pre) return &kind;
    return error("tokenizer.ggml.pre", fmt::format("one of {}", known_pre_tokenizers()),
                 v_.pre.empty() ? "none" : printable(v_.pre), ErrorKind::unsupported);
  }

  Status check_sizes() const {
    if (v_.tokens.empty() || v_.tokens.size() > static_cast<std::size_t>(TokenizerBuilder::kMaxIds))
      return error("tokenizer.ggml.tokens", fmt::format("1 to {} tokens", TokenizerBuilder::kMaxIds),
                   fmt::format("{}", v_.tokens.size()));
    if (!v_.token_types.empty() && v_.token_types.size() != v_.tokens.size())
      return error("tokenizer.ggml.token_type", fmt::format("a type for each of {} tokens", v_.tokens.size()),
                   fmt::format("{}", v_.token_types.size()));
    return Done{};
  }

  Status read_tokens() {
    builder_.reserve(v_.tokens.size());
    std::vector<AddedToken> controls;
    for (std::size_t i = 0; i < v_.tokens.size(); ++i) {
      const std::int64_t type = v_.token_types.empty() ? kNormal : v_.token_types[i];
      if (type < kNormal || type > kByte)
        return error("tokenizer.ggml.token_type", "types from 1 to 6", fmt::format("{} of token {}", type, i));
      const TokenId id{static_cast<std::int32_t>(i)};
      if (type == kControl || type == kUserDefined) {
        AddedToken token;
        token.content = v_.tokens[i];
        token.id = id;
        token.special = type == kControl;
        HADAL_RETURN_IF_ERROR(builder_.add_control(token));
        controls.push_back(std::move(token));
      } else {
        HADAL_RETURN_IF_ERROR(builder_.add_token(std::string(v_.tokens[i]), id));
      }
    }
    builder_.tables().before_normalizer = AddedTokenFinder(std::move(controls));
    return Done{};
  }

  // Without them every text would fall apart into bytes, and no one would say so.
  Status check_merges() const {
    if (!v_.merges.empty()) return Done{};
    for (std::size_t i = 0; i < v_.tokens.size(); ++i) {
      const bool normal = v_.token_types.empty() || v_.token_types[i] == kNormal;
      if (normal && from_byte_level(v_.tokens[i]).value_or("").size() > 1)
        return error("tokenizer.ggml.merges", "merges for tokens of several bytes", "none", ErrorKind::unsupported);
    }
    return Done{};
  }

  Status read_merges() {
    HADAL_RETURN_IF_ERROR(check_merges());
    builder_.tables().bpe.reserve_merges(v_.merges.size());
    std::string left, right;
    for (std::size_t i = 0; i < v_.merges.size(); ++i) {
      const std::string_view merge = v_.merges[i];
      const std::size_t blank = merge.find(' ', 1);  // a blank itself is spelled otherwise
      const std::string where = fmt::format("key tokenizer.ggml.merges: [{}]", i);
      if (blank == std::string_view::npos || blank + 1 == merge.size() ||
          merge.find(' ', blank + 1) != std::string_view::npos)
        return Error{ErrorKind::invalid, fmt::format("{}: {}: expected \"a b\", found \"{}\"", builder_.subject(),
                                                     where, printable(merge))};
      left = merge.substr(0, blank), right = merge.substr(blank + 1);
      HADAL_RETURN_IF_ERROR(builder_.add_merge(left, right, where));
    }
    return Done{};
  }

  Result<std::optional<TokenId>> token(std::string_view key, const std::optional<std::int64_t>& id) const {
    if (!id) return std::optional<TokenId>();
    if (*id < 0 || *id >= static_cast<std::int64_t>(v_.tokens.size()))
      return error(key, fmt::format("an id from 0 to {}", v_.tokens.size() - 1), fmt::format("{}", *id));
    return std::optional(TokenId{static_cast<std::int32_t>(*id)});
  }

  const GgufVocabulary& v_;
  TokenizerBuilder builder_;
};

enum class Likeness { none, but_for_digits, whole };

// hadal's own vocabularies take numbers one by one (bpe_trainer.cc) and are deepseek-v3's otherwise, whose next steps
// leave numbers alone.
Likeness compare_steps(std::span<const std::string> steps, std::span<const std::string> named) {
  if (std::ranges::equal(steps, named)) return Likeness::whole;
  const bool digits = !steps.empty() && !named.empty() && steps[0] == kDigits[0] && named[0] == kDeepSeekV3[0];
  return digits && std::ranges::equal(steps.subspan(1), named.subspan(1)) ? Likeness::but_for_digits : Likeness::none;
}

struct NumberEdges {
  std::unordered_set<std::string> begins, ends;  // bytes that a character of \p{N} may begin with, or end with
};

NumberEdges number_edges() {
  constexpr char32_t kCharacters = 0x110000, kSurrogates = 0xD800, kSurrogatesEnd = 0xE000;
  std::string all;  // each one between letters
  for (char32_t code = 0; code < kCharacters; ++code) {
    if (code < kSurrogates || code >= kSurrogatesEnd) append_utf8(all, code);
    all += 'a';
  }
  const Result<PreTokenizer> numbers = PreTokenizer::from_patterns(kDigits, "numbers");
  HADAL_CHECK(numbers.ok());
  NumberEdges edges;
  for (const std::string_view piece : numbers->split(all).views) {
    if (piece.find('a') != piece.npos) continue;
    for (std::size_t bytes = 1; bytes <= piece.size(); ++bytes) {
      edges.begins.emplace(piece.substr(0, bytes));
      edges.ends.emplace(piece.substr(piece.size() - bytes));
    }
  }
  return edges;
}

// Whether a piece of several numbers becomes the ids that they become one by one. As long as no merge has crossed the
// seam between two characters, what stands on its sides is the end of the one and the beginning of the other; so where
// no merge takes such a pair, none ever crosses it. (Bytes without a token would vanish and let others meet.)
bool numbers_stay_apart(const TokenizerBuilder::Tables& tables) {
  for (int byte = 0; byte < 256; ++byte)
    if (!tables.bpe.has_byte(static_cast<std::uint8_t>(byte))) return false;
  const NumberEdges edges = number_edges();
  const auto bytes = [&](TokenId id) -> const std::string& {
    return tables.rows[static_cast<std::size_t>(index(id))].bytes;
  };
  return std::ranges::none_of(tables.bpe.merges(), [&](const BpeModel::Pair& merge) {
    return edges.ends.contains(bytes(merge.left)) && edges.begins.contains(bytes(merge.right));
  });
}

}  // namespace

std::string known_pre_tokenizers() {
  std::string all;
  for (const PreTokenizerKind& kind : kKinds) all += fmt::format("{}{}", all.empty() ? "" : ", ", kind.name);
  return all;
}

Result<std::string> Tokenizer::gguf_pre_tokenizer(std::string_view subject) const {
  const auto unsupported = [&](std::string_view part, std::string_view expected, std::string_view found) {
    return Error{ErrorKind::unsupported, fmt::format("{}: {}: expected {}, found {}", subject, part, expected, found)};
  };
  const std::vector<std::string> steps = tables_->pre_tokenizer.steps();
  for (const PreTokenizerKind& kind : kKinds) {
    HADAL_ASSIGN(const PreTokenizer named, PreTokenizer::from_patterns(kind.patterns, kind.name));
    const Likeness likeness = compare_steps(steps, named.steps());
    if (likeness == Likeness::none) continue;
    const std::string as_named = fmt::format(", as what GGUF calls {}", kind.name);
    if (likeness == Likeness::but_for_digits && !numbers_stay_apart(*tables_))
      return unsupported("pre_tokenizer", "numbers in threes" + as_named, "single ones, and merges that may join them");
    if (tables_->nfc != kind.nfc)
      return unsupported("normalizer", (kind.nfc ? "NFC" : "none") + as_named, tables_->nfc ? "NFC" : "none");
    if (tables_->ignore_merges != kind.ignore_merges)
      return unsupported("model: ignore_merges", fmt::format("{}{}", kind.ignore_merges, as_named),
                         fmt::format("{}", tables_->ignore_merges));
    return std::string(kind.name);
  }
  constexpr std::size_t kMaxShown = 200;
  return unsupported("pre_tokenizer", "that of one of " + known_pre_tokenizers() + ", for which GGUF has names",
                     printable(fmt::format("{}", fmt::join(steps, " then ")), kMaxShown));
}

Result<Tokenizer> Tokenizer::from_gguf(const GgufVocabulary& vocabulary, std::string_view subject) {
  return GgufVocabularyReader(vocabulary, subject).read();
}

}  // namespace hadal
