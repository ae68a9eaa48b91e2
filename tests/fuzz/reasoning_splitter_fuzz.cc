// Any text, cut in any way, through the reasoning splitter and the stop matcher: the same as uncut. Each piece is
// preceded by its length byte; the first byte chooses the state at the start.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/reasoning_splitter.h"
#include "text/stop_matcher.h"

namespace {

using hadal::ReasoningSplitter;

struct Out {
  std::string reasoning, text;
  bool operator==(const Out&) const = default;
};

Out split(ReasoningSplitter::Start start, const std::vector<std::string>& pieces) {
  ReasoningSplitter splitter(start);
  hadal::StopMatcher stops({"</s", "ab", "\n\n\n"});
  Out out;
  const auto take = [&](const hadal::SplitText& part) {
    out.reasoning += part.reasoning;
    out.text += stops.push(part.text);
  };
  for (const std::string& piece : pieces) take(splitter.push(piece));
  take(splitter.flush());
  out.text += stops.flush();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using Start = ReasoningSplitter::Start;
  if (size == 0) return 0;
  const Start start = data[0] % 3 == 0 ? Start::answer : data[0] % 3 == 1 ? Start::undecided : Start::reasoning;
  std::vector<std::string> pieces;
  std::string whole;
  static constexpr std::string_view kWords[] = {"<think>", "</think>", "\n", "</", "think>", "ab", " ", "</s"};
  for (std::size_t at = 1; at < size;) {
    const std::uint8_t head = data[at++];
    if (head >= 0x80) {  // a word that matters, so that the fuzzer need not find it letter by letter
      pieces.emplace_back(kWords[head % 8]);
    } else {
      const std::size_t length = std::min<std::size_t>(head % 16, size - at);
      pieces.emplace_back(reinterpret_cast<const char*>(data + at), length);
      at += length;
    }
    whole += pieces.back();
  }
  const Out expected = split(start, {whole});
  HADAL_CHECK(split(start, pieces) == expected);
  std::vector<std::string> bytes;
  for (const char c : whole) bytes.emplace_back(1, c);
  HADAL_CHECK(split(start, bytes) == expected);
  HADAL_CHECK(expected.reasoning.size() + expected.text.size() <= whole.size());
  return 0;
}
