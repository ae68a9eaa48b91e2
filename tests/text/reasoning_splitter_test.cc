// ReasoningSplitter and StopMatcher: whatever way a stream is cut, the same texts come out, as early as they can.
#include <gtest/gtest.h>

#include <random>

#include "text/reasoning_splitter.h"
#include "text/stop_matcher.h"

namespace hadal {
namespace {

using Start = ReasoningSplitter::Start;

struct Split {
  std::string reasoning, text;
  bool operator==(const Split&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Split& s) {
  return out << "[" << s.reasoning << "|" << s.text << "]";
}

// `cuts` are byte offsets, ascending.
Split split(Start start, const std::string& text, const std::vector<std::size_t>& cuts) {
  ReasoningSplitter splitter(start);
  Split all;
  const auto take = [&](const SplitText& part) {
    all.reasoning += part.reasoning;
    all.text += part.text;
  };
  std::size_t done = 0;
  for (const std::size_t cut : cuts) {
    take(splitter.push(std::string_view(text).substr(done, cut - done)));
    done = cut;
  }
  take(splitter.push(std::string_view(text).substr(done)));
  take(splitter.flush());
  return all;
}

struct Case {
  Start start;
  std::string text;
  Split expected;
};

const std::vector<Case> kCases = {
    {Start::reasoning, "r\n</think>\n\nanswer", {"r", "answer"}},
    {Start::reasoning, "r</think>answer", {"r", "answer"}},
    {Start::reasoning, "<think>\nr\n</think>\n\nanswer\n", {"r", "answer\n"}},
    {Start::reasoning, "\n<think>\n\nr", {"r", ""}},
    {Start::reasoning, "a\n\nb\n\n</think>c\n", {"a\n\nb", "c\n"}},
    {Start::reasoning, "no end\n", {"no end\n", ""}},
    {Start::reasoning, "</think>now", {"", "now"}},
    {Start::reasoning, "a </thin b </think> c </think> d", {"a </thin b ", " c </think> d"}},
    {Start::reasoning, "a</th\n</think>\r\n\r\nb", {"a</th", "b"}},
    {Start::reasoning, "a\n</th", {"a\n</th", ""}},
    {Start::reasoning, "", {"", ""}},
    {Start::reasoning, "<thi", {"<thi", ""}},
    {Start::reasoning, "<thing>x</think>", {"<thing>x", ""}},
    {Start::undecided, "<think>r</think>a", {"r", "a"}},
    {Start::undecided, " \n<think>\nr\n</think>\na", {"r", "a"}},
    {Start::undecided, " \nplain <think>x</think>", {"", " \nplain <think>x</think>"}},
    {Start::undecided, "<thinker>", {"", "<thinker>"}},
    {Start::undecided, "  <thi", {"", "  <thi"}},
    {Start::undecided, "\n\n", {"", "\n\n"}},
    {Start::answer, "<think>r</think>a", {"", "<think>r</think>a"}},
};

TEST(ReasoningSplitter, SplitsWhole) {
  for (const Case& c : kCases) EXPECT_EQ(split(c.start, c.text, {}), c.expected) << c.text;
}

TEST(ReasoningSplitter, IsTheSameForEveryPairOfCuts) {
  for (const Case& c : kCases)
    for (std::size_t a = 0; a <= c.text.size(); ++a)
      for (std::size_t b = a; b <= c.text.size(); ++b) EXPECT_EQ(split(c.start, c.text, {a, b}), c.expected) << c.text;
}

TEST(ReasoningSplitter, IsTheSameByteByByteForRandomTexts) {
  std::mt19937 random(7);
  const std::vector<std::string> words = {"<think>", "</think>", "<", "</", "think>", "\n", "\r\n", " ", "a", "</thi"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int i = 0; i < 8; ++i) text += words[random() % words.size()];
    std::vector<std::size_t> each(text.size());
    for (std::size_t i = 0; i < each.size(); ++i) each[i] = i;
    for (const Start start : {Start::answer, Start::undecided, Start::reasoning})
      EXPECT_EQ(split(start, text, each), split(start, text, {})) << text;
  }
}

// The same stream with its tags as tokens; between them text that spells no tag, `step` bytes at a time.
Split split_tokens(Start start, std::string_view text, std::size_t step) {
  using Tag = ReasoningSplitter::Tag;
  ReasoningSplitter splitter(start, ReasoningSplitter::Tags::tokens);
  Split all;
  const auto take = [&](const SplitText& part) {
    all.reasoning += part.reasoning;
    all.text += part.text;
  };
  while (!text.empty()) {
    const std::size_t open = text.find("<think>"), close = text.find("</think>");
    const std::size_t next = std::min({open, close, text.size()});
    for (std::size_t at = 0; at < next; at += step) take(splitter.push(text.substr(at, std::min(step, next - at))));
    text.remove_prefix(next);
    if (text.empty()) break;
    take(splitter.push_tag(open < close ? Tag::open : Tag::close));
    text.remove_prefix(open < close ? 7 : 8);
  }
  take(splitter.flush());
  return all;
}

TEST(ReasoningSplitter, IsTheSameWhenTagsAreTokens) {
  for (const Case& c : kCases)
    for (const std::size_t step : {1u, 2u, 5u, 100u})
      EXPECT_EQ(split_tokens(c.start, c.text, step), c.expected) << c.text << " by " << step;
}

TEST(ReasoningSplitter, SpelledTagsAreTextWhereThereAreTokens) {
  using Tag = ReasoningSplitter::Tag;
  ReasoningSplitter splitter(Start::reasoning, ReasoningSplitter::Tags::tokens);
  EXPECT_EQ(splitter.push("<think> R1 ends a thought with </think>").reasoning,
            "<think> R1 ends a thought with </think>");
  EXPECT_EQ(splitter.push("\n</thi").reasoning, "\n</thi");  // nothing is held back
  EXPECT_EQ(splitter.push_tag(Tag::open).reasoning, "<think>");
  EXPECT_TRUE(splitter.in_reasoning());
  EXPECT_EQ(splitter.push_tag(Tag::close).reasoning, "");
  EXPECT_FALSE(splitter.in_reasoning());
  EXPECT_EQ(splitter.push("\n\n<think>").text, "<think>");
  EXPECT_EQ(splitter.push_tag(Tag::close).text, "</think>");
  ReasoningSplitter undecided(Start::undecided, ReasoningSplitter::Tags::tokens);
  EXPECT_EQ(undecided.push("<think>a").text, "<think>a");
  EXPECT_EQ(undecided.push_tag(Tag::open).text, "<think>");
}

TEST(ReasoningSplitter, HoldsBackOnlyWhatMayStillChange) {
  ReasoningSplitter splitter(Start::reasoning);
  EXPECT_EQ(splitter.push("thinking").reasoning, "thinking");
  EXPECT_EQ(splitter.push(" on\n").reasoning, " on");
  EXPECT_EQ(splitter.push("so").reasoning, "\nso");
  EXPECT_EQ(splitter.push(" </thi").reasoning, " ");
  EXPECT_EQ(splitter.push("ng").reasoning, "</thing");
  EXPECT_TRUE(splitter.in_reasoning());
  EXPECT_EQ(splitter.push("</think>\n").text, "");
  EXPECT_FALSE(splitter.in_reasoning());
  EXPECT_EQ(splitter.push("\nA\n").text, "A\n");
}

TEST(ReasoningSplitter, ThoughtCanBeEndedFromOutside) {
  const auto ended = [](Start start, const char* before, const char* after) {
    ReasoningSplitter splitter(start);
    Split all;
    const auto take = [&](const SplitText& part) {
      all.reasoning += part.reasoning;
      all.text += part.text;
    };
    take(splitter.push(before));
    take(splitter.end_thought());
    EXPECT_FALSE(splitter.in_reasoning());
    take(splitter.push(after));
    take(splitter.flush());
    return all;
  };
  EXPECT_EQ(ended(Start::reasoning, "so\n\n", "\nx</think>"), (Split{"so", "\nx</think>"}));
  EXPECT_EQ(ended(Start::reasoning, "so </thi", "x"), (Split{"so </thi", "x"}));
  EXPECT_EQ(ended(Start::reasoning, "so</think>\n", "x"), (Split{"so", "x"}));
  EXPECT_EQ(ended(Start::undecided, " ", "<think>x"), (Split{"", " <think>x"}));
  EXPECT_EQ(ended(Start::answer, "a", "b"), (Split{"", "ab"}));
}

std::string stopped(const std::vector<std::string>& stops, const std::string& text, std::size_t step,
                    std::string* stop) {
  StopMatcher matcher(stops);
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += step) out += matcher.push(std::string_view(text).substr(at, step));
  if (stop != nullptr) *stop = matcher.stop();
  return out + matcher.flush();
}

TEST(StopMatcher, EndsBeforeTheStopThatIsCompleteFirst) {
  std::string stop;
  EXPECT_EQ(stopped({"END", "\n\n"}, "one\n\ntwo END", 3, &stop), "one");
  EXPECT_EQ(stop, "\n\n");
  EXPECT_EQ(stopped({"bc", "abcd"}, "xabcd", 1, &stop), "xa");
  EXPECT_EQ(stop, "bc");
  EXPECT_EQ(stopped({"bc", "abc"}, "xabcd", 5, &stop), "x");
  EXPECT_EQ(stop, "abc");
}

TEST(StopMatcher, GivesEverythingWhenNoStopComes) {
  EXPECT_EQ(stopped({"END", ""}, "the EN", 1, nullptr), "the EN");
  EXPECT_EQ(stopped({}, "all of it", 2, nullptr), "all of it");
}

TEST(StopMatcher, HoldsBackOnlyABeginning) {
  StopMatcher matcher({"aab"});
  EXPECT_EQ(matcher.push("xaa"), "x");
  EXPECT_EQ(matcher.push("a"), "a");  // "aaa": the last two may still begin it
  EXPECT_EQ(matcher.push("c"), "aac");
  EXPECT_EQ(matcher.push("aab more"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.push("nothing after it"), "");
}

TEST(StopMatcher, IsTheSameForEveryWayToCut) {
  std::mt19937 random(11);
  for (int round = 0; round < 4000; ++round) {
    std::vector<std::string> stops;
    for (int i = 0; i < 3; ++i) {
      std::string stop;
      for (unsigned n = 1 + random() % 4; n > 0; --n) stop += static_cast<char>('a' + random() % 2);
      stops.push_back(stop);
    }
    std::string text;
    for (int n = 0; n < 12; ++n) text += static_cast<char>('a' + random() % 3);
    const std::string whole = stopped(stops, text, text.size(), nullptr);
    for (const std::size_t step : {1u, 2u, 3u, 5u}) EXPECT_EQ(stopped(stops, text, step, nullptr), whole) << text;
  }
}

}  // namespace
}  // namespace hadal
