// Any text, cut in any way, through the parser of tool calls: the same content and calls as uncut, in every syntax,
// with markers as text and as tokens; nothing grows, and what is no call keeps every byte. Each piece is preceded by
// its length byte; the first byte chooses the syntax.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/tool_call_parser.h"

namespace {

using hadal::ToolCallParser;
using hadal::ToolCallSyntax;
using Markers = ToolCallParser::Markers;

struct Out {
  std::string text;
  std::vector<std::string> calls;  // "name(arguments"
  bool operator==(const Out&) const = default;
};

class Joined {
 public:
  void add(const hadal::ParsedText& part) {
    out_.text += part.text;
    for (const hadal::ToolCallDelta& delta : part.calls) {
      const auto calls = static_cast<int>(out_.calls.size());
      HADAL_CHECK(delta.index == (delta.name.empty() ? calls - 1 : calls));
      if (!delta.name.empty()) out_.calls.push_back(delta.name + "(");
      out_.calls.back() += delta.arguments;
    }
  }
  const Out& out() const { return out_; }

 private:
  Out out_;
};

Out parse(ToolCallSyntax syntax, const std::vector<std::string>& pieces) {
  ToolCallParser parser(syntax, Markers::text);
  Joined joined;
  for (const std::string& piece : pieces) joined.add(parser.push(piece));
  joined.add(parser.finish());
  return joined.out();
}

Out parse_tokens(ToolCallSyntax syntax, std::string_view text) {
  ToolCallParser parser(syntax, Markers::tokens);
  Joined joined;
  while (!text.empty()) {
    std::size_t next = text.size();
    std::string_view marker;
    for (const std::string_view m : ToolCallParser::markers(syntax)) {
      if (text.find(m) >= next) continue;
      next = text.find(m);
      marker = m;
    }
    for (const char c : text.substr(0, next)) joined.add(parser.push({&c, 1}));
    if (!marker.empty()) joined.add(parser.push_marker(marker));
    text.remove_prefix(next + marker.size());
  }
  joined.add(parser.finish());
  return joined.out();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static constexpr ToolCallSyntax kSyntaxes[] = {ToolCallSyntax::deepseek_v3, ToolCallSyntax::deepseek_v31,
                                                 ToolCallSyntax::qwen, ToolCallSyntax::llama};
  if (size == 0) return 0;
  const ToolCallSyntax syntax = kSyntaxes[data[0] % 4];
  std::vector<std::string> words = {"\n```json\n", "\n```", "{\"name\": \"f\", ", "\"arguments\": ", "{\"x\": 1}",
                                    "}",           "\n",    "\"parameters\": ",   "function"};
  for (const std::string_view marker : ToolCallParser::markers(syntax)) words.emplace_back(marker);
  std::vector<std::string> pieces;
  std::string whole;
  for (std::size_t at = 1; at < size;) {
    const std::uint8_t head = data[at++];
    if (head >= 0x80) {  // a word that matters, so that the fuzzer need not find it letter by letter
      pieces.push_back(words[head % words.size()]);
    } else {
      const std::size_t length = std::min<std::size_t>(head % 16, size - at);
      pieces.emplace_back(reinterpret_cast<const char*>(data + at), length);
      at += length;
    }
    whole += pieces.back();
  }
  const Out expected = parse(syntax, {whole});
  HADAL_CHECK(parse(syntax, pieces) == expected);
  HADAL_CHECK(parse_tokens(syntax, whole) == expected);
  std::vector<std::string> bytes;
  for (const char c : whole) bytes.emplace_back(1, c);
  HADAL_CHECK(parse(syntax, bytes) == expected);
  if (expected.calls.empty()) HADAL_CHECK(expected.text == whole);
  return 0;
}
