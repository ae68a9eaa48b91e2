#include "text/tool_call_parser.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "text/call_grammar.h"

namespace hadal {
using namespace call_markers;

namespace {

constexpr std::size_t kMaxHeldBreaks = 64;  // more line breaks than a model leaves before a call

constexpr std::string_view kDeepSeekMarkers[] = {kCallsBegin, kCallBegin, kSep, kCallEnd, kCallsEnd};
constexpr std::string_view kQwenMarkers[] = {kQwenCall, kQwenCallEnd};
constexpr std::string_view kLlamaMarkers[] = {kLlamaCode};

std::unique_ptr<CallGrammar> grammar_of(ToolCallSyntax syntax) {
  switch (syntax) {
    case ToolCallSyntax::deepseek_v3:
    case ToolCallSyntax::deepseek_v31:
      return deepseek_call_grammar(syntax);
    case ToolCallSyntax::qwen:
    case ToolCallSyntax::llama:
      return json_call_grammar(syntax);
    case ToolCallSyntax::none:
      break;
  }
  HADAL_CHECK(false && "an answer without calls needs no parser");
  return nullptr;
}

bool is_white(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

}  // namespace

void CallContent::add(char c, ParsedText& out) {
  if (only_white_ ? is_white(c) : c == '\n' || c == '\r') {
    held_ += c;
    if (held_.size() <= kMaxHeldBreaks) return;
    out.text += held_.front();
    held_.erase(0, 1);
    return;
  }
  out.text.append(held_).push_back(c);
  held_.clear();
  only_white_ = false;
}

void CallContent::end(ParsedText& out) {
  if (!only_white_) out.text += held_;
  held_.clear();
}

ToolCallParser::ToolCallParser(ToolCallSyntax syntax, Markers markers, CallCount count)
    : markers_(markers), count_(count), grammar_(grammar_of(syntax)), alphabet_(ToolCallParser::markers(syntax)) {}
ToolCallParser::ToolCallParser(ToolCallParser&&) noexcept = default;
ToolCallParser& ToolCallParser::operator=(ToolCallParser&&) noexcept = default;
ToolCallParser::~ToolCallParser() = default;

std::span<const std::string_view> ToolCallParser::markers(ToolCallSyntax syntax) {
  switch (syntax) {
    case ToolCallSyntax::deepseek_v3:
    case ToolCallSyntax::deepseek_v31:
      return kDeepSeekMarkers;
    case ToolCallSyntax::qwen:
      return kQwenMarkers;
    case ToolCallSyntax::llama:
      return kLlamaMarkers;
    case ToolCallSyntax::none:
      break;
  }
  return {};
}

ParsedText ToolCallParser::push(std::string_view text) {
  ParsedText out;
  if (over_) return out;
  if (markers_ == Markers::tokens) {
    give_text(text, out);
    return out;
  }
  held_ += text;
  std::string_view rest = held_;
  // All markers begin with "<" and have no other one inside.
  for (std::size_t at = 0; at < rest.size();) {
    at = std::min(rest.find('<', at), rest.size());
    if (at == rest.size()) break;
    const std::string_view tail = rest.substr(at);
    const auto whole = std::find_if(alphabet_.begin(), alphabet_.end(),
                                    [&](std::string_view marker) { return tail.starts_with(marker); });
    if (whole != alphabet_.end()) {
      give_text(rest.substr(0, at), out);
      give_marker(*whole, out);
      if (over_) return out;
      rest.remove_prefix(at + whole->size());
      at = 0;
    } else if (std::any_of(alphabet_.begin(), alphabet_.end(),
                           [&](std::string_view marker) { return marker.starts_with(tail); })) {
      give_text(rest.substr(0, at), out);
      rest = tail;
      held_ = std::string(rest);
      return out;
    } else {
      ++at;
    }
  }
  give_text(rest, out);
  held_.clear();
  return out;
}

ParsedText ToolCallParser::push_marker(std::string_view name) {
  ParsedText out;
  if (over_) return out;
  give_text(std::exchange(held_, {}), out);
  give_marker(name, out);
  return out;
}

void ToolCallParser::give_text(std::string_view text, ParsedText& out) {
  grammar_->text(text, out);
  called_ = called_ || !out.calls.empty();
}

// A call is over with the first marker behind its beginning that has not become a part of its arguments.
void ToolCallParser::give_marker(std::string_view name, ParsedText& out) {
  const bool in_a_call = called_;
  grammar_->marker(name, out);
  called_ = called_ || !out.calls.empty();
  const bool is_argument = !out.calls.empty() && out.calls.back().arguments.ends_with(name);
  over_ = count_ == CallCount::one && in_a_call && !is_argument;
}

bool ToolCallParser::done() const {
  return over_ || grammar_->done();
}

ParsedText ToolCallParser::finish() {
  ParsedText out;
  if (over_) return out;
  give_text(std::exchange(held_, {}), out);
  grammar_->end(out);
  return out;
}

}  // namespace hadal
