// The calls of DeepSeek's models up to V3.1 (MODELS.md 10.4):
//
//   V3, R1   <calls begin> <call begin>type<sep>name\n```json\n{..}\n```<call end> \n <call begin>.. <calls end>
//   V3.1     <calls begin> <call begin>name<sep>{..}<call end> <call begin>.. <calls end>
//
// A model that leaves out <calls begin>, a fence or an end is understood; fences are dropped.
#include "text/call_grammar.h"

namespace hadal {
using namespace call_markers;

namespace {

constexpr std::size_t kMaxNameBytes = 256;  // of a type or a name; APIs allow 64
constexpr std::size_t kMaxWhiteBytes = 32;  // around fences and between calls

bool is_white(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_white(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_white(text.back())) text.remove_suffix(1);
  return text;
}

// How much of a text is a fence: a word of any of these may still become one.
enum class Fence { none, part, whole };

// "```", letters, the end of the line.
Fence opening_fence(std::string_view text) {
  if (text.size() > kMaxWhiteBytes) return Fence::none;
  std::size_t at = 0;
  for (; at < text.size() && at < 3; ++at)
    if (text[at] != '`') return Fence::none;
  for (; at < text.size(); ++at) {
    if (text[at] == '\n') return at + 1 == text.size() ? Fence::whole : Fence::none;
    const char c = text[at];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ' ' || c == '\r')) return Fence::none;
  }
  return Fence::part;
}

// A line break or none, "```", white space.
Fence closing_fence(std::string_view text) {
  if (text.size() > kMaxWhiteBytes) return Fence::none;
  if (!text.empty() && text.front() == '\n') text.remove_prefix(1);
  std::size_t at = 0;
  for (; at < text.size() && at < 3; ++at)
    if (text[at] != '`') return Fence::none;
  for (; at < text.size(); ++at)
    if (!is_white(text[at])) return Fence::none;
  return at >= 3 ? Fence::whole : Fence::part;
}

class DeepSeekCalls final : public CallGrammar {
 public:
  explicit DeepSeekCalls(ToolCallSyntax syntax) : has_type_(syntax == ToolCallSyntax::deepseek_v3) {}

  void text(std::string_view piece, ParsedText& out) override {
    for (const char c : piece) add(c, out);
  }

  void marker(std::string_view name, ParsedText& out) override {
    switch (state_) {
      case State::content:
        if (name == kCallsBegin || name == kCallBegin) return open(name);
        for (const char c : name) content_.add(c, out);
        return;
      case State::between:
        raw_ += name;
        if (name == kCallBegin) return enter(State::head);
        if (name == kCallsEnd && called_) return back_to_content();
        return give_up(out);
      case State::head:
        if (name == kSep) return has_type_ ? keep(name, State::name_line) : begin(trimmed(word_), out);
        return give_up_before(name, out);
      case State::name_line:
        if (name != kCallEnd || trimmed(word_).empty()) return give_up_before(name, out);
        begin(trimmed(word_), out);
        return enter(State::between);
      case State::fence:
      case State::arguments:
        return marker_in_arguments(name, out);
    }
  }

  void end(ParsedText& out) override {
    if (state_ == State::arguments || state_ == State::fence) {
      end_arguments(out);
    } else if (state_ != State::content && !(state_ == State::between && called_)) {
      give_up(out);
    }
    content_.end(out);
  }

 private:
  enum class State {
    content,
    between,    // after <calls begin> or <call end>: white space only
    head,       // after <call begin>: the type, in V3.1 the name
    name_line,  // V3's name, to the end of the line
    fence,      // before V3's arguments
    arguments,
  };

  void add(char c, ParsedText& out) {
    switch (state_) {
      case State::content:
        return content_.add(c, out);
      case State::between:
        raw_ += c;
        if (!is_white(c) || ++white_bytes_ > kMaxWhiteBytes) give_up(out);
        return;
      case State::head:
      case State::name_line:
        raw_ += c;
        if (state_ == State::name_line && c == '\n' && !trimmed(word_).empty()) {
          begin(trimmed(word_), out);
          return enter(State::fence);
        }
        word_ += c;
        if (word_.size() > kMaxNameBytes) give_up(out);
        return;
      case State::fence:
        edge_ += c;
        if (opening_fence(edge_) == Fence::part) return;
        fenced_ = opening_fence(edge_) == Fence::whole;
        if (!fenced_) add_arguments(edge_, out);
        edge_.clear();
        return enter(State::arguments);
      case State::arguments:
        if (!fenced_) return add_arguments({&c, 1}, out);
        edge_ += c;
        while (!edge_.empty() && closing_fence(edge_) == Fence::none) {
          add_arguments({edge_.data(), 1}, out);
          edge_.erase(0, 1);
        }
        return;
    }
  }

  void marker_in_arguments(std::string_view name, ParsedText& out) {
    if (name == kCallEnd || name == kCallsEnd || name == kCallBegin) {
      end_arguments(out);
      if (name == kCallsEnd) return back_to_content();
      if (name == kCallEnd) return enter(State::between);
      return open(name);
    }
    for (const char c : name) add(c, out);
  }

  void open(std::string_view name) {
    raw_ = content_.take_held();
    raw_ += name;
    called_ = false;
    enter(name == kCallsBegin ? State::between : State::head);
  }

  void keep(std::string_view name, State next) {
    raw_ += name;
    enter(next);
  }

  void enter(State next) {
    state_ = next;
    word_.clear();
    white_bytes_ = 0;
  }

  void begin(std::string_view name, ParsedText& out) {
    if (name.empty()) {
      raw_ += has_type_ ? std::string_view() : kSep;
      return give_up(out);
    }
    begin_call(std::string(name), out);
    raw_.clear();
    called_ = true;
    fenced_ = false;
    enter(State::arguments);
  }

  void end_arguments(ParsedText& out) {
    const bool is_fence = fenced_ && closing_fence(edge_) == Fence::whole;
    if (!is_fence) add_arguments(edge_, out);
    edge_.clear();
  }

  void back_to_content() {
    raw_.clear();
    content_.after_call();
    enter(State::content);
  }

  // It was no call: all of it is content.
  void give_up(ParsedText& out) {
    for (const char c : raw_) content_.add(c, out);
    raw_.clear();
    enter(State::content);
  }

  void give_up_before(std::string_view name, ParsedText& out) {
    give_up(out);
    marker(name, out);
  }

  const bool has_type_;
  State state_ = State::content;
  CallContent content_;
  std::string raw_;      // what is content after all if no call comes of it
  std::string word_;     // a type or a name
  std::string edge_;     // what may be a fence
  bool called_ = false;  // since <calls begin>
  bool fenced_ = false;  // the arguments of this call
  std::size_t white_bytes_ = 0;
};

}  // namespace

std::unique_ptr<CallGrammar> deepseek_call_grammar(ToolCallSyntax syntax) {
  return std::make_unique<DeepSeekCalls>(syntax);
}

}  // namespace hadal
