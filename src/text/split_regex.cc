#include "text/split_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

#include "base/check.h"
#include "text/utf8.h"

namespace hadal {
namespace {

constexpr std::size_t kMaxPatternBytes = 16 << 10;  // the longest known (DeepSeek-V2's letters) has 2 KB

// How far a match may go back before it is given up: only a hostile pattern does. Known ones go over a run of blanks
// twice at most (\s*[\r\n]+, then \s+(?!\S)), so the limit grows with the text.
std::uint32_t match_limit(std::size_t text_bytes) {
  constexpr std::size_t kLeast = 1'000'000, kPerByte = 8, kMost = UINT32_MAX;
  return static_cast<std::uint32_t>(std::min(kMost, kLeast + kPerByte * std::min(text_bytes, kMost)));
}

// Unicode White_Space, as the inside of a class, and all that is not.
constexpr std::string_view kSpaces =
    R"(\x09-\x0D\x20\x85\xA0\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
constexpr std::string_view kNonSpaces =
    R"(\x00-\x08\x0E-\x1F\x21-\x84\x86-\x9F\xA1-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027}\x{202A}-\x{202E})"
    R"(\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{10FFFF})";

// Rewrites a pattern of Oniguruma for PCRE2, or names what cannot be carried over. A character has one spelling in the
// result, whether it stood there itself or as an escape.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : rest_(pattern) {}

  std::optional<std::string> unsupported() {  // nothing when all is well; then `result` is the pattern
    while (!rest_.empty()) {
      if (auto why = step()) return why;
    }
    return in_class_ ? std::optional<std::string>("a class without its ]") : std::nullopt;
  }
  std::string result;

 private:
  std::optional<std::string> step() {
    if (rest_[0] == '\\') return escape();
    if (in_class_) return class_character();
    if (rest_.starts_with("(")) return group();
    if (rest_.starts_with("{,") || (rest_.starts_with("}+"))) return fmt::format("\"{}\"", rest_.substr(0, 2));
    if (const std::size_t count = optional_count(); count > 0) return fmt::format("\"{}\"", rest_.substr(0, count));
    if (rest_[0] == '[') {
      in_class_ = true;
      copy(rest_.starts_with("[^") ? 2 : 1);
      if (rest_.starts_with("]")) return "an empty class";
      return std::nullopt;
    }
    return character();
  }

  std::optional<std::string> class_character() {
    if (rest_[0] == '[') return "a class within a class";
    if (rest_.starts_with("&&")) return "\"&&\" in a class";
    if (rest_[0] == ']') in_class_ = false;
    return character();
  }

  // The bytes of a "{n}?", which PCRE2 reads as exactly n and Oniguruma as n or nothing.
  std::size_t optional_count() const {
    if (!rest_.starts_with("{")) return 0;
    const std::size_t end = std::min(rest_.find_first_not_of("0123456789", 1), rest_.size());
    return end > 1 && rest_.substr(end).starts_with("}?") ? end + 2 : 0;
  }

  // One that stands for itself, whatever it is.
  std::optional<std::string> character() {
    const Utf8Unit unit = first_utf8_unit(rest_);
    if (unit.kind != Utf8Kind::character) return "a pattern that is not UTF-8";
    if (unit.code > 0x20 && unit.code < 0x7F) return copy(1), std::nullopt;
    return put_code(unit.code, unit.bytes);
  }

  std::optional<std::string> group() {
    if (rest_.starts_with("(*")) return "\"(*\"";
    if (!rest_.starts_with("(?")) return copy(1), std::nullopt;
    for (const std::string_view head : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?i)", "(?-i:", "(?-i)"}) {
      if (rest_.starts_with(head)) return copy(head.size()), std::nullopt;
    }
    return fmt::format("\"{}\"", rest_.substr(0, 3));
  }

  std::optional<std::string> escape() {
    if (rest_.size() < 2) return "a \\ at the end";
    const char next = rest_[1];
    switch (next) {
      case 's':
        return put(in_class_ ? std::string(kSpaces) : fmt::format("[{}]", kSpaces), 2);
      case 'S':
        return put(in_class_ ? std::string(kNonSpaces) : fmt::format("[{}]", kNonSpaces), 2);
      case 'd':
        return put("\\p{Nd}", 2);
      case 'D':
        return put("\\P{Nd}", 2);
      case 't':
        return put_code('\t', 2);
      case 'n':
        return put_code('\n', 2);
      case 'v':
        return put_code('\v', 2);
      case 'f':
        return put_code('\f', 2);
      case 'r':
        return put_code('\r', 2);
      case 'A':
      case 'z':
        if (!in_class_) return copy(2), std::nullopt;
        break;
      case 'p':
      case 'P':
      case 'x':
        if (rest_.size() > 2 && rest_[2] == '{') return braces(next);
        break;
      case 'u':
        if (const auto code = hex(rest_.substr(0, 6), 2); code && rest_.size() >= 6) return put_code(*code, 6);
        break;
      default:
        if (static_cast<unsigned char>(next) <= 0x20 || static_cast<unsigned char>(next) >= 0x7F)
          return put("", 1);  // the character stands for itself
        if (!is_alphanumeric(next)) return copy(2), std::nullopt;
    }
    return fmt::format("\"\\{}\"", next);
  }

  std::optional<std::string> braces(char kind) {
    const std::size_t end = rest_.find('}');
    if (end == std::string_view::npos) return fmt::format("\"\\{}{{\" without its }}", kind);
    if (kind != 'x') return property(kind == 'P', rest_.substr(3, end - 3), end + 1);
    const auto code = hex(rest_.substr(0, end), 3);
    if (!code) return fmt::format("\"{}\"", rest_.substr(0, end + 1));
    return put_code(*code, end + 1);
  }

  // A script's name alone means the characters of that script; PCRE2 would add those that the script shares.
  std::optional<std::string> property(bool negative, std::string_view name, std::size_t bytes) {
    const std::string_view script = name.substr(name.starts_with('^') ? 1 : 0);
    if (u_getPropertyValueEnum(UCHAR_SCRIPT, std::string(script).c_str()) == UCHAR_INVALID_CODE)
      return copy(bytes), std::nullopt;
    return put(fmt::format("\\{}{{sc:{}}}", negative == name.starts_with('^') ? 'p' : 'P', script), bytes);
  }

  // The number that `text` is from `begin` to its end.
  static std::optional<char32_t> hex(std::string_view text, std::size_t begin) {
    std::uint32_t code = 0;
    const auto [end, error] = std::from_chars(text.data() + begin, text.data() + text.size(), code, 16);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return code;
  }

  static bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  }
  void copy(std::size_t bytes) {
    result.append(rest_.substr(0, bytes));
    rest_.remove_prefix(bytes);
  }
  std::nullopt_t put_code(char32_t code, std::size_t instead_of) {
    return put(fmt::format("\\x{{{:X}}}", static_cast<std::uint32_t>(code)), instead_of);
  }
  std::nullopt_t put(std::string_view text, std::size_t instead_of) {
    result.append(text);
    rest_.remove_prefix(instead_of);
    return std::nullopt;
  }

  std::string_view rest_;
  bool in_class_ = false;
};

pcre2_match_data* data_of(void* pointer) {
  return static_cast<pcre2_match_data*>(pointer);
}
pcre2_match_context* context_of(void* pointer) {
  return static_cast<pcre2_match_context*>(pointer);
}

}  // namespace

RegexScratch::RegexScratch()
    : match_data_(pcre2_match_data_create(1, nullptr)), match_context_(pcre2_match_context_create(nullptr)) {
  HADAL_CHECK(match_data_ != nullptr && match_context_ != nullptr);
}

RegexScratch::~RegexScratch() {
  pcre2_match_data_free(data_of(match_data_));
  pcre2_match_context_free(context_of(match_context_));
}

Result<SplitRegex> SplitRegex::compile(std::string_view pattern, std::string_view subject) {
  const auto refuse = [&](ErrorKind kind, std::string_view why) {
    return Error{kind, fmt::format("{}: {}, in pattern \"{}\"", subject, why, repair_utf8(pattern.substr(0, 60)))};
  };
  if (pattern.empty() || pattern.size() > kMaxPatternBytes)
    return Error{ErrorKind::invalid, fmt::format("{}: expected a pattern of 1 to {} bytes, found {}", subject,
                                                 kMaxPatternBytes, pattern.size())};
  Translator translator(pattern);
  if (const auto why = translator.unsupported()) return refuse(ErrorKind::unsupported, "unsupported: " + *why);

  int code = 0;
  PCRE2_SIZE offset = 0;
  const std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  HADAL_CHECK(context != nullptr);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  // In Ruby's syntax ^ and $ always work line by line.
  pcre2_code* compiled =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translator.result.data()), translator.result.size(),
                    PCRE2_UTF | PCRE2_MULTILINE | PCRE2_NO_AUTO_CAPTURE, &code, &offset, context.get());
  if (compiled == nullptr) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(code, message, sizeof message);
    return refuse(ErrorKind::invalid, fmt::format("not a regular expression: {}", reinterpret_cast<char*>(message)));
  }
  SplitRegex regex;
  regex.code_ = std::shared_ptr<const void>(
      compiled, [](const void* p) { pcre2_code_free(static_cast<pcre2_code*>(const_cast<void*>(p))); });
  regex.pattern_ = std::move(translator.result);
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);  // where there is no JIT, pcre2_match interprets
  return regex;
}

void SplitRegex::split(std::string_view text, std::vector<std::string_view>& out, RegexScratch& scratch) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  pcre2_set_match_limit(context_of(scratch.match_context_), match_limit(text.size()));
  const auto match = [&](std::size_t from, std::uint32_t options) {
    return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, PCRE2_NO_UTF_CHECK | options,
                       data_of(scratch.match_data_), context_of(scratch.match_context_));
  };
  std::size_t cut = 0, from = 0;  // all before `cut` is in out
  const auto emit = [&](std::size_t end) {
    if (end > cut) out.push_back(text.substr(cut, end - cut));
    cut = end;
  };
  while (from < text.size()) {
    int found = match(from, 0);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match(from, PCRE2_NO_JIT);  // keeps its stack on the heap
    if (found < 0) break;
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data_of(scratch.match_data_));
    const std::size_t begin = range[0], end = range[1];
    if (end < begin || begin < cut) break;  // \K in a look-around could do this; it is refused, so only a bug here
    emit(begin);
    emit(end);
    from = end > from || end == text.size() ? end : end + first_utf8_unit(text.substr(end)).bytes;
  }
  emit(text.size());
}

}  // namespace hadal
