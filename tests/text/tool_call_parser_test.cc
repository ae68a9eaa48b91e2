// ToolCallParser: whatever way a stream is cut, and whether markers come as tokens or as text, the same content and the
// same calls come out; what is no call is content, byte for byte.
#include "text/tool_call_parser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <random>

namespace hadal {
namespace {

using Syntax = ToolCallSyntax;
using Markers = ToolCallParser::Markers;

struct Call {
  std::string name, arguments;
  bool operator==(const Call&) const = default;
};

struct Parsed {
  std::string text;
  std::vector<Call> calls;
  bool operator==(const Parsed&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Parsed& parsed) {
  out << "[" << parsed.text << "]";
  for (const Call& call : parsed.calls) out << " " << call.name << "(" << call.arguments << ")";
  return out;
}

// Joins deltas, and checks their contract: a call begins once, with its name, and only the last one grows.
class Joined {
 public:
  void add(const ParsedText& part) {
    parsed_.text += part.text;
    for (const ToolCallDelta& delta : part.calls) {
      const auto calls = static_cast<int>(parsed_.calls.size());
      EXPECT_EQ(delta.index, delta.name.empty() ? calls - 1 : calls);
      EXPECT_FALSE(delta.name.empty() && delta.arguments.empty()) << "a delta that says nothing";
      if (!delta.name.empty()) parsed_.calls.push_back({delta.name, {}});
      parsed_.calls.back().arguments += delta.arguments;
    }
  }
  const Parsed& parsed() const { return parsed_; }

 private:
  Parsed parsed_;
};

// `cuts` are byte offsets, ascending.
Parsed parse(Syntax syntax, const std::string& text, const std::vector<std::size_t>& cuts,
             CallCount count = CallCount::any) {
  ToolCallParser parser(syntax, Markers::text, count);
  Joined joined;
  std::size_t done = 0;
  for (const std::size_t cut : cuts) {
    joined.add(parser.push(std::string_view(text).substr(done, cut - done)));
    done = cut;
  }
  joined.add(parser.push(std::string_view(text).substr(done)));
  joined.add(parser.finish());
  return joined.parsed();
}

// Markers as control tokens; the text between them `step` bytes at a time.
Parsed parse_tokens(Syntax syntax, std::string_view text, std::size_t step, CallCount count = CallCount::any) {
  ToolCallParser parser(syntax, Markers::tokens, count);
  Joined joined;
  while (!text.empty()) {
    std::size_t next = text.size();
    std::string_view marker;
    for (const std::string_view m : ToolCallParser::markers(syntax))
      if (text.find(m) < next) next = text.find(m), marker = m;
    for (std::size_t at = 0; at < next; at += step) joined.add(parser.push(text.substr(at, std::min(step, next - at))));
    if (!marker.empty()) joined.add(parser.push_marker(marker));
    text.remove_prefix(next + marker.size());
  }
  joined.add(parser.finish());
  return joined.parsed();
}

struct Case {
  Syntax syntax;
  std::string text;
  Parsed expected;
};

#define CALLS "<｜tool▁calls▁begin｜>"
#define CALL "<｜tool▁call▁begin｜>"
#define SEP "<｜tool▁sep｜>"
#define CALL_END "<｜tool▁call▁end｜>"
#define CALLS_END "<｜tool▁calls▁end｜>"

const std::vector<Case> kCases = {
    // V3.1
    {Syntax::deepseek_v31, CALLS CALL "f" SEP "{\"x\": 1}" CALL_END CALLS_END, {"", {{"f", "{\"x\": 1}"}}}},
    {Syntax::deepseek_v31,
     "Let me see.\n\n" CALLS CALL "f" SEP "{}" CALL_END CALL "g" SEP "[]" CALL_END CALLS_END,
     {"Let me see.", {{"f", "{}"}, {"g", "[]"}}}},
    {Syntax::deepseek_v31, "just\n\ntext\n", {"just\n\ntext\n", {}}},
    {Syntax::deepseek_v31, CALLS CALL "f" SEP "{\"x\": \"cut o", {"", {{"f", "{\"x\": \"cut o"}}}},
    {Syntax::deepseek_v31,
     CALLS CALL "f" SEP "{\"a\": 1}" CALLS_END " and more\n",
     {" and more\n", {{"f", "{\"a\": 1}"}}}},
    {Syntax::deepseek_v31, CALLS CALL "f" SEP "{}" CALL "g" SEP "{}" CALL_END, {"", {{"f", "{}"}, {"g", "{}"}}}},
    {Syntax::deepseek_v31, CALL "f" SEP "{}" CALL_END, {"", {{"f", "{}"}}}},
    {Syntax::deepseek_v31,
     CALLS " \n" CALL " f\n" SEP "{}" CALL_END "\n" CALL "g" SEP "" CALL_END "\n" CALLS_END "\n",
     {"", {{"f", "{}"}, {"g", ""}}}},
    {Syntax::deepseek_v31,
     "a\n" CALLS CALL "no separator" CALL_END CALLS_END,
     {"a\n" CALLS CALL "no separator" CALL_END CALLS_END, {}}},
    {Syntax::deepseek_v31, "a\n" CALLS "b", {"a\n" CALLS "b", {}}},
    {Syntax::deepseek_v31, CALLS CALLS_END, {CALLS CALLS_END, {}}},
    {Syntax::deepseek_v31, CALLS CALL SEP "{}" CALL_END, {CALLS CALL SEP "{}" CALL_END, {}}},
    {Syntax::deepseek_v31, CALLS CALL "f", {CALLS CALL "f", {}}},
    {Syntax::deepseek_v31, CALLS CALL "f" CALLS CALL "g" SEP "{}", {CALLS CALL "f", {{"g", "{}"}}}},
    {Syntax::deepseek_v31, "a" SEP "b" CALL_END, {"a" SEP "b" CALL_END, {}}},
    {Syntax::deepseek_v31, CALLS CALL "f" SEP "{\"x\": \"" SEP "\"}" CALL_END, {"", {{"f", "{\"x\": \"" SEP "\"}"}}}},
    {Syntax::deepseek_v31,
     CALLS CALL "查询" SEP "{\"q\": \"é\"}" CALL_END CALLS_END,
     {"", {{"查询", "{\"q\": \"é\"}"}}}},
    {Syntax::deepseek_v31, "x < y <｜tool▁", {"x < y <｜tool▁", {}}},
    {Syntax::deepseek_v31, CALLS CALL "f" SEP "{}" CALL_END "text" CALLS_END, {"text" CALLS_END, {{"f", "{}"}}}},
    // V3 and R1
    {Syntax::deepseek_v3,
     CALLS CALL "function" SEP "f\n```json\n{\"x\": 1}\n```" CALL_END CALLS_END,
     {"", {{"f", "{\"x\": 1}"}}}},
    {Syntax::deepseek_v3,
     "a" CALLS CALL "function" SEP "f\n```json\n{\n\"x\": `1`\n}\n```\n" CALL_END "\n" CALL "function" SEP
     "g\n```json\n{}\n```" CALL_END CALLS_END,
     {"a", {{"f", "{\n\"x\": `1`\n}"}, {"g", "{}"}}}},
    {Syntax::deepseek_v3, CALLS CALL "function" SEP "f\n{\"x\": 1}" CALL_END, {"", {{"f", "{\"x\": 1}"}}}},
    {Syntax::deepseek_v3, CALLS CALL "function" SEP "f" CALL_END, {"", {{"f", ""}}}},
    {Syntax::deepseek_v3, CALLS CALL "function" SEP "f\n```json\n{\"x\": 1}", {"", {{"f", "{\"x\": 1}"}}}},
    {Syntax::deepseek_v3, CALLS CALL "function" SEP "f\n```json\n{}\n``", {"", {{"f", "{}\n``"}}}},
    {Syntax::deepseek_v3, CALLS CALL "function" SEP "f\n```json\n{}\n```\n```x", {"", {{"f", "{}\n```\n```x"}}}},
    {Syntax::deepseek_v3, CALLS CALL "function" SEP "f\n``x", {"", {{"f", "``x"}}}},
    {Syntax::deepseek_v3, CALLS CALL "function" SEP "\n" CALL_END, {CALLS CALL "function" SEP "\n" CALL_END, {}}},
    {Syntax::deepseek_v3, CALLS CALL "function" SEP "f", {CALLS CALL "function" SEP "f", {}}},
    {Syntax::deepseek_v3, CALLS CALL "function", {CALLS CALL "function", {}}},
    // Qwen
    {Syntax::qwen,
     "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": [1, \"}\"]}}\n</tool_call>",
     {"", {{"f", "{\"x\": [1, \"}\"]}"}}}},
    {Syntax::qwen,
     "Yes.\n<tool_call>\n{\"name\":\"f\",\"arguments\":{}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\\u00e9\", "
     "\"arguments\": {\"a\": \"\\\"\"}}\n</tool_call>\n",
     {"Yes.", {{"f", "{}"}, {"gé", "{\"a\": \"\\\"\"}"}}}},
    {Syntax::qwen, "<tool_call>{\"arguments\": {\"x\": 1}, \"name\": \"f\"}</tool_call>", {"", {{"f", "{\"x\": 1}"}}}},
    {Syntax::qwen, "<tool_call>{\"name\": \"f\"}</tool_call>", {"", {{"f", "{}"}}}},
    {Syntax::qwen,
     "<tool_call>{\"type\": \"function\", \"name\": \"f\", \"arguments\": 5}</tool_call> so",
     {" so", {{"f", "5"}}}},
    {Syntax::qwen,
     "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"</tool_call>\"}}</tool_call>",
     {"", {{"f", "{\"x\": \"</tool_call>\"}"}}}},
    {Syntax::qwen, "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": 1</tool_call>", {"", {{"f", "{\"x\": 1"}}}},
    {Syntax::qwen, "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"cut o", {"", {{"f", "{\"x\": \"cut o"}}}},
    {Syntax::qwen, "a\n<tool_call>\nno json</tool_call>b", {"a\n<tool_call>\nno json</tool_call>b", {}}},
    {Syntax::qwen, "<tool_call>{\"name\": 5, \"arguments\": {}}", {"<tool_call>{\"name\": 5, \"arguments\": {}}", {}}},
    {Syntax::qwen,
     "<tool_call>{\"name\": \"f\", \"arguments\": }",
     {"<tool_call>{\"name\": \"f\", \"arguments\": }", {}}},
    {Syntax::qwen, "<tool_call>{\"thought\": 1}", {"<tool_call>{\"thought\": 1}", {}}},
    {Syntax::qwen, "<tool_call>{\"name\": \"f\"", {"<tool_call>{\"name\": \"f\"", {}}},
    {Syntax::qwen, "a <tool_", {"a <tool_", {}}},
    {Syntax::qwen, "<tool_call>{\"name\": \"f\", \"arguments\": {}} oh", {" oh", {{"f", "{}"}}}},
    {Syntax::qwen,
     "<tool_call>{\"name\":\"f\",\"arguments\":{}}<tool_call>{\"name\":\"g\",\"arguments\":{}}",
     {"", {{"f", "{}"}, {"g", "{}"}}}},
    // Llama
    {Syntax::llama, "{\"name\": \"f\", \"parameters\": {\"x\": 1}}", {"", {{"f", "{\"x\": 1}"}}}},
    {Syntax::llama,
     "\n<|python_tag|>{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}",
     {"", {{"f", "{}"}}}},
    {Syntax::llama,
     "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}\n",
     {"", {{"f", "{}"}}}},
    {Syntax::llama, "{\"parameters\": {\"x\": 1}, \"name\": \"f\"}", {"", {{"f", "{\"x\": 1}"}}}},
    {Syntax::llama, "{\"name\": \"Ada\", \"id\": 7}", {"{\"name\": \"Ada\", \"id\": 7}", {}}},
    {Syntax::llama, "{\"name\": \"Ada\"}\n", {"{\"name\": \"Ada\"}\n", {}}},
    {Syntax::llama, "<|python_tag|>{\"name\": \"today\"}", {"", {{"today", "{}"}}}},
    {Syntax::llama, "{\"answer\": 42}", {"{\"answer\": 42}", {}}},
    {Syntax::llama, "Call {\"name\": \"f\", \"parameters\": {}}", {"Call {\"name\": \"f\", \"parameters\": {}}", {}}},
    {Syntax::llama, "{\"name\": \"f\", \"parameters\": {}} done", {"", {{"f", "{}"}}}},
    {Syntax::llama, "<|python_tag|>print(1)", {"<|python_tag|>print(1)", {}}},
    {Syntax::llama, " \n", {" \n", {}}},
    {Syntax::llama, "", {"", {}}},
};

TEST(ToolCallParser, TakesCallsOutOfTheWhole) {
  for (const Case& c : kCases) EXPECT_EQ(parse(c.syntax, c.text, {}), c.expected) << c.text;
}

// What an answer of one call may have of all that was said: the first call, and no more text.
bool is_beginning_of(const Parsed& one, const Parsed& all) {
  const std::vector<Call> first(all.calls.begin(), all.calls.begin() + !all.calls.empty());
  return one.calls == first && all.text.starts_with(one.text) && (!first.empty() || one.text == all.text);
}

TEST(ToolCallParser, OneCallIsTheFirst) {
  for (const Case& c : kCases) {
    const Parsed one = parse(c.syntax, c.text, {}, CallCount::one);
    EXPECT_TRUE(is_beginning_of(one, c.expected)) << c.text << " -> " << one;
  }
  EXPECT_EQ(parse(Syntax::deepseek_v31, CALLS CALL "f" SEP "{}" CALL_END "text" CALLS_END, {}, CallCount::one),
            (Parsed{"", {{"f", "{}"}}}));
}

TEST(ToolCallParser, IsTheSameForEveryCut) {
  for (const Case& c : kCases) {
    const Parsed one = parse(c.syntax, c.text, {}, CallCount::one);
    for (std::size_t cut = 0; cut <= c.text.size(); ++cut) {
      ASSERT_EQ(parse(c.syntax, c.text, {cut}), c.expected) << c.text << " at " << cut;
      ASSERT_EQ(parse(c.syntax, c.text, {cut}, CallCount::one), one) << c.text << " at " << cut;
    }
  }
}

TEST(ToolCallParser, IsTheSameByteByByteAndForPairsOfCuts) {
  for (const Case& c : kCases) {
    std::vector<std::size_t> each(c.text.size());
    for (std::size_t i = 0; i < each.size(); ++i) each[i] = i;
    EXPECT_EQ(parse(c.syntax, c.text, each), c.expected) << c.text;
    for (std::size_t a = 0; a <= c.text.size(); a += 3)
      for (std::size_t b = a; b <= c.text.size(); b += 5)
        ASSERT_EQ(parse(c.syntax, c.text, {a, b}), c.expected) << c.text << " at " << a << ", " << b;
  }
}

TEST(ToolCallParser, IsTheSameWhenMarkersAreTokens) {
  for (const Case& c : kCases) {
    for (const std::size_t step : {1u, 2u, 7u, 1000u})
      EXPECT_EQ(parse_tokens(c.syntax, c.text, step), c.expected) << c.text << " by " << step;
  }
}

TEST(ToolCallParser, SpelledMarkersAreTextWhereThereAreTokens) {
  ToolCallParser parser(Syntax::deepseek_v31, Markers::tokens);
  const std::string spelled = CALLS CALL "f" SEP "{}" CALL_END CALLS_END;
  Joined joined;
  joined.add(parser.push(spelled));
  joined.add(parser.push_marker(CALLS));
  joined.add(parser.push_marker(CALL));
  joined.add(parser.push("f"));
  joined.add(parser.push_marker(SEP));
  joined.add(parser.push(spelled));
  joined.add(parser.push_marker(CALL_END));
  joined.add(parser.finish());
  EXPECT_EQ(joined.parsed(), (Parsed{spelled, {{"f", spelled}}}));
}

TEST(ToolCallParser, IsTheSameForRandomStreams) {
  std::mt19937 random(5);
  const std::vector<std::string> words = {CALLS,     CALL, SEP,           CALL_END,          CALLS_END,
                                          "f",       "\n", "```json\n",   "\n```",           "{",
                                          "}",       "\"", "name",        "\"name\": \"g\"", "\"arguments\": ",
                                          ",",       " ",  "<tool_call>", "</tool_call>",    "\"parameters\": {}",
                                          "<｜tool", "\\", "7",           "<|python_tag|>",  ";"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (unsigned n = random() % 14; n > 0; --n) text += words[random() % words.size()];
    std::vector<std::size_t> each(text.size());
    for (std::size_t i = 0; i < each.size(); ++i) each[i] = i;
    for (const Syntax syntax : {Syntax::deepseek_v3, Syntax::deepseek_v31, Syntax::qwen, Syntax::llama}) {
      const Parsed whole = parse(syntax, text, {});
      ASSERT_EQ(parse(syntax, text, each), whole) << text;
      ASSERT_EQ(parse_tokens(syntax, text, 1), whole) << text;
      const Parsed one = parse(syntax, text, {}, CallCount::one);
      ASSERT_TRUE(is_beginning_of(one, whole)) << text << " -> " << one << ", of " << whole;
      ASSERT_EQ(parse(syntax, text, each, CallCount::one), one) << text;
      ASSERT_EQ(parse_tokens(syntax, text, 1, CallCount::one), one) << text;
    }
  }
}

TEST(ToolCallParser, GivesNamesAndArgumentsAsSoonAsTheyAreCertain) {
  ToolCallParser parser(Syntax::deepseek_v31, Markers::text);
  EXPECT_EQ(parser.push("So\n").text, "So");
  EXPECT_TRUE(parser.push(CALLS CALL "get").calls.empty());
  const ParsedText begun = parser.push("_x" SEP "{\"a");
  ASSERT_EQ(begun.calls.size(), 1u);
  EXPECT_EQ(begun.calls[0].name, "get_x");
  EXPECT_EQ(begun.calls[0].arguments, "{\"a");
  EXPECT_EQ(parser.push("\": 1").calls.at(0).arguments, "\": 1");

  ToolCallParser qwen(Syntax::qwen, Markers::text);
  EXPECT_TRUE(qwen.push("<tool_call>\n{\"name\": \"f\", \"arguments\": ").calls.empty());
  EXPECT_EQ(qwen.push("{\"x").calls.at(0).arguments, "{\"x");
  EXPECT_EQ(qwen.push("y").calls.at(0).arguments, "y");
}

TEST(ToolCallParser, LlamasAnswerEndsWithItsFirstCall) {
  ToolCallParser parser(Syntax::llama, Markers::text);
  EXPECT_EQ(parser.push("{\"name\": \"f\", \"parameters\": {\"x\": 1}").calls.size(), 1u);
  EXPECT_FALSE(parser.done());
  EXPECT_TRUE(parser.push("}; {\"name\": \"g\"").calls.empty());
  EXPECT_TRUE(parser.done());
  EXPECT_EQ(parser.finish().text, "");
  ToolCallParser qwen(Syntax::qwen, Markers::text);
  EXPECT_EQ(qwen.push("<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>").calls.size(), 1u);
  EXPECT_FALSE(qwen.done());
}

TEST(ToolCallParser, AnswerOfOneCallEndsWithTheMarkerBehindIt) {
  const auto ends_with_last = [](Syntax syntax, std::initializer_list<std::string_view> pieces) {
    ToolCallParser parser(syntax, Markers::text, CallCount::one);
    for (const std::string_view piece : pieces) {
      EXPECT_FALSE(parser.done()) << piece;
      parser.push(piece);
    }
    EXPECT_TRUE(parser.done());
    const ParsedText more = parser.push("and more" CALLS CALL "g" SEP "{}");
    EXPECT_TRUE(more.text.empty() && more.calls.empty() && parser.finish().text.empty());
  };
  ends_with_last(Syntax::deepseek_v31, {"So" CALLS CALL "f", SEP "{\"x\": \"" SEP "\"}", CALL_END});
  ends_with_last(Syntax::deepseek_v31, {CALLS CALL "f" SEP "{}", CALL});
  ends_with_last(Syntax::deepseek_v3, {CALLS CALL "function" SEP "f\n```json\n{}\n```", CALL_END});
  ends_with_last(Syntax::qwen,
                 {"<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"</tool_call>\"", "}}\n", "</tool_call>"});
}

TEST(ToolCallParser, HoldsBackLittleHoweverLongItGoesOn) {
  const std::pair<Syntax, std::string> endless[] = {{Syntax::deepseek_v31, CALLS CALL},
                                                    {Syntax::deepseek_v3, CALLS CALL "function" SEP},
                                                    {Syntax::deepseek_v31, CALLS},
                                                    {Syntax::qwen, "<tool_call>"},
                                                    {Syntax::qwen, "<tool_call>{\"name\": \""},
                                                    {Syntax::qwen, "<tool_call>{\"type\": [\""},
                                                    {Syntax::llama, ""},
                                                    {Syntax::llama, "{\"id\": \""},
                                                    {Syntax::deepseek_v31, ""}};
  for (const auto& [syntax, beginning] : endless) {
    for (const char c : {'a', ' ', '\n'}) {
      ToolCallParser parser(syntax, Markers::text);
      Joined joined;
      joined.add(parser.push(beginning));
      for (int i = 0; i < 100; ++i) joined.add(parser.push(std::string(100, c)));
      const std::size_t given = joined.parsed().text.size();
      EXPECT_GE(given + kMaxHeldBytes + 300, beginning.size() + 10'000) << beginning;
      joined.add(parser.finish());
      EXPECT_EQ(joined.parsed().text, beginning + std::string(10'000, c)) << beginning;
    }
  }
}

}  // namespace
}  // namespace hadal
