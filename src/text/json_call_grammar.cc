// Calls that are a JSON object with a name and arguments: Qwen's between <tool_call> and </tool_call>, Llama's as the
// whole answer, which ends with it.
//
// The object is read byte by byte. Once name and the beginning of the arguments are known the call has begun, and the
// arguments' own bytes are passed on; before that everything is kept, for it may turn out to be no call.
#include <algorithm>

#include "base/check.h"
#include "base/json.h"
#include "text/call_grammar.h"

namespace hadal {
using namespace call_markers;

namespace {

constexpr std::size_t kMaxNameBytes = 256;  // APIs allow 64
constexpr std::string_view kKeys[] = {"name", "arguments", "parameters", "type", "id"};

bool is_white(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// Where one JSON value ends. It does not check the value: what is wrong inside arguments is for the caller to see.
class ValueEnd {
 public:
  enum class At { inside, last, behind };  // behind: the value ended before this byte

  void start() { *this = ValueEnd(); }
  bool in_string() const { return in_string_; }

  At next(char c) {
    if (in_string_) {
      if (escaped_) return escaped_ = false, At::inside;
      if (c == '\\') return escaped_ = true, At::inside;
      if (c != '"') return At::inside;
      in_string_ = false;
      return depth_ == 0 ? At::last : At::inside;
    }
    if (depth_ == 0 && begun_ && (is_white(c) || c == ',' || c == '}')) return At::behind;  // of a number or a word
    begun_ = true;
    if (c == '"') in_string_ = true;
    if (c == '{' || c == '[') ++depth_;
    if ((c == '}' || c == ']') && --depth_ <= 0) return At::last;
    return At::inside;
  }

 private:
  bool begun_ = false, in_string_ = false, escaped_ = false;
  int depth_ = 0;
};

class JsonCalls final : public CallGrammar {
 public:
  explicit JsonCalls(ToolCallSyntax syntax)
      : marked_(syntax == ToolCallSyntax::qwen), state_(marked_ ? State::content : State::between) {}

  void text(std::string_view piece, ParsedText& out) override {
    for (const char c : piece) add(c, out);
  }

  void marker(std::string_view name, ParsedText& out) override {
    const bool inside_a_string = (state_ == State::key || state_ == State::value) && value_end_.in_string();
    if (inside_a_string) return text(name, out);
    if (!marked_) {  // Llama's: before an object it says nothing
      if (state_ != State::between) return text(name, out);
      announced_ = true;
      return raw_.append(name), check_size(out);
    }
    if (state_ != State::content && name == kQwenCallEnd && called_) {
      content_.after_call();
      return leave();
    }
    if (state_ == State::between) {
      content_.after_call();
      leave();
    } else if (state_ != State::content) {
      give_up(out);
    }
    if (name == kQwenCall) return open();
    for (const char c : name) content_.add(c, out);
  }

  void end(ParsedText& out) override {
    if (state_ != State::content && !called_) give_up(out);
    content_.end(out);
  }

  bool done() const override { return state_ == State::done; }

 private:
  enum class State {
    content,
    done,     // Llama: behind an object
    between,  // Llama: before an object; Qwen: behind one
    object,   // before "{"
    member,   // before a key or "}"
    key,
    colon,
    before_value,
    value,
    comma,  // before "," or "}"
  };

  void add(char c, ParsedText& out) {
    if (state_ == State::content) return content_.add(c, out);
    if (state_ == State::done) return;
    if (state_ == State::value && streaming_) return add_to_arguments(c, out);
    raw_ += c;
    if (state_ == State::key || state_ == State::value) return add_to_word(c, out);
    if (state_ == State::between) return add_between(c, out);
    if (is_white(c)) return check_size(out);
    switch (state_) {
      case State::object:
        return c == '{' ? enter(State::member) : give_up(out);
      case State::member:
        if (c == '}') return end_object(out);
        if (c != '"') return give_up(out);
        begin_word(State::key);
        return add_to_word(c, out);
      case State::colon:
        return c == ':' ? enter(State::before_value) : give_up(out);
      case State::before_value:
        return begin_value(c, out);
      case State::comma:
        if (c == ',') return enter(State::member);
        return c == '}' ? end_object(out) : give_up(out);
      default:
        return;
    }
  }

  void add_between(char c, ParsedText& out) {
    if (!marked_ && c == '{') {
      start_object();
      return enter(State::member);
    }
    if (!is_white(c)) return give_up(out);
    check_size(out);
  }

  void add_to_word(char c, ParsedText& out) {
    const ValueEnd::At at = value_end_.next(c);
    if (at != ValueEnd::At::behind) word_ += c;
    if (at == ValueEnd::At::inside) return check_size(out);
    const bool known = state_ == State::key ? take_key() : take_value();
    if (!known) return give_up(out);
    if (at == ValueEnd::At::last || state_ != State::comma) return;
    if (c == ',') enter(State::member);
    if (c == '}') end_object(out);
  }

  void add_to_arguments(char c, ParsedText& out) {
    const ValueEnd::At at = value_end_.next(c);
    if (at != ValueEnd::At::behind) add_arguments({&c, 1}, out);
    if (at == ValueEnd::At::inside) return;
    streaming_ = false;
    enter(State::comma);
    if (at == ValueEnd::At::behind) add(c, out);
  }

  void begin_word(State state) {
    word_.clear();
    value_end_.start();
    enter(state);
  }

  void begin_value(char c, ParsedText& out) {
    if (c == ',' || c == '}' || c == ']') return give_up(out);
    begin_word(State::value);
    const bool arguments = key_ == "arguments" || key_ == "parameters";
    if (!arguments || name_.empty() || called_) return add_to_word(c, out);
    begin(out);
    streaming_ = true;
    add_to_arguments(c, out);
  }

  bool take_key() {
    HADAL_CHECK(word_.size() >= 2);
    key_ = word_.substr(1, word_.size() - 2);
    enter(State::colon);
    return std::find(std::begin(kKeys), std::end(kKeys), key_) != std::end(kKeys);
  }

  bool take_value() {
    enter(State::comma);
    if (key_ == "arguments" || key_ == "parameters") {
      early_arguments_ = word_;
      return true;
    }
    if (key_ != "name") return true;
    const Json name = Json::parse(word_, nullptr, /*allow_exceptions=*/false);
    if (!name.is_string() || name.get_ref<const std::string&>().size() > kMaxNameBytes) return false;
    name_ = name.get<std::string>();
    return !name_.empty();
  }

  void begin(ParsedText& out) {
    begin_call(name_, out);
    raw_.clear();
    called_ = true;
  }

  void end_object(ParsedText& out) {
    if (!called_) {
      // Data has names too.
      if (name_.empty() || (early_arguments_.empty() && !marked_ && !announced_)) return give_up(out);
      begin(out);
      add_arguments(early_arguments_.empty() ? "{}" : early_arguments_, out);
    }
    raw_.clear();
    enter(marked_ ? State::between : State::done);
  }

  void open() {
    raw_ = content_.take_held();
    raw_ += kQwenCall;
    start_object();
    enter(State::object);
  }

  void start_object() {
    called_ = streaming_ = false;
    name_.clear();
    early_arguments_.clear();
  }

  void enter(State next) { state_ = next; }

  void leave() {
    raw_.clear();
    streaming_ = false;
    enter(State::content);
  }

  // No call, or not the end of one: what was kept is content.
  void give_up(ParsedText& out) {
    for (const char c : raw_) content_.add(c, out);
    leave();
  }

  void check_size(ParsedText& out) {
    if (raw_.size() > kMaxHeldBytes) give_up(out);
  }

  const bool marked_;
  State state_;
  CallContent content_;
  std::string raw_;  // since the last that was certain
  std::string word_, key_, name_, early_arguments_;
  ValueEnd value_end_;
  bool called_ = false;     // this object has begun a call
  bool announced_ = false;  // by Llama's marker
  bool streaming_ = false;  // in the arguments of a call that has begun
};

}  // namespace

std::unique_ptr<CallGrammar> json_call_grammar(ToolCallSyntax syntax) {
  return std::make_unique<JsonCalls>(syntax);
}

}  // namespace hadal
