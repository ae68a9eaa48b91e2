#include "text/reasoning_splitter.h"

#include <algorithm>

namespace hadal {
namespace {

constexpr std::string_view kOpen = "<think>", kClose = "</think>";

// The bytes at the end of `text` that a longer text may turn into `tag`.
std::size_t unfinished_tag(std::string_view text, std::string_view tag) {
  for (std::size_t size = std::min(text.size(), tag.size() - 1); size > 0; --size) {
    if (text.ends_with(tag.substr(0, size))) return size;
  }
  return 0;
}

std::size_t line_breaks_before(std::string_view text, std::size_t end) {
  std::size_t begin = end;
  while (begin > 0 && (text[begin - 1] == '\n' || text[begin - 1] == '\r')) --begin;
  return begin;
}

}  // namespace

ReasoningSplitter::State ReasoningSplitter::first_state(Start start) {
  switch (start) {
    case Start::answer:
      return State::answer;
    case Start::undecided:
      return State::undecided;
    case Start::reasoning:
      return State::reasoning_begins;
  }
  return State::answer;
}

SplitText ReasoningSplitter::push(std::string_view text) {
  SplitText out;
  held_ += text;
  while (step(out)) {
  }
  return out;
}

// Only where the same tag in a text would count; elsewhere it is text too.
SplitText ReasoningSplitter::push_tag(Tag tag) {
  if (tag == Tag::open && (state_ == State::undecided || state_ == State::reasoning_begins)) {
    held_.clear();
    state_ = State::reasoning_begins;
    return {};
  }
  if (tag == Tag::open || !in_reasoning()) return push(tag == Tag::open ? kOpen : kClose);
  SplitText out = end_thought();
  state_ = State::answer_begins;
  return out;
}

SplitText ReasoningSplitter::flush() {
  SplitText out;
  // Nothing more can become a tag. Line breaks at the very end of an unfinished thought are kept: no tag follows.
  if (state_ == State::reasoning || state_ == State::reasoning_begins) {
    out.reasoning = held_;
  } else {
    out.text = held_;
  }
  held_.clear();
  return out;
}

SplitText ReasoningSplitter::end_thought() {
  SplitText out;
  if (in_reasoning()) {
    out.reasoning = held_.substr(0, line_breaks_before(held_, held_.size()));
  } else if (state_ != State::answer_begins) {
    out.text = held_;
  }
  held_.clear();
  state_ = State::answer;
  return out;
}

bool ReasoningSplitter::begins_with_open(std::string_view text) const {
  return tags_ == Tags::text && text.starts_with(kOpen);
}

bool ReasoningSplitter::may_become_open(std::string_view text) const {
  return text.empty() || (tags_ == Tags::text && kOpen.starts_with(text));
}

bool ReasoningSplitter::step(SplitText& out) {
  const std::string_view held = held_;
  const auto drop = [&](std::size_t bytes, State next) {
    held_.erase(0, bytes);
    state_ = next;
    return true;
  };
  switch (state_) {
    case State::undecided: {
      const std::size_t word = std::min(held.find_first_not_of(" \t\r\n"), held.size());
      if (begins_with_open(held.substr(word))) return drop(word + kOpen.size(), State::reasoning_begins);
      if (may_become_open(held.substr(word))) return false;
      state_ = State::answer;  // the white space in front is the answer's own
      return true;
    }
    case State::reasoning_begins: {
      const std::size_t word = std::min(held.find_first_not_of("\r\n"), held.size());
      if (begins_with_open(held.substr(word))) return drop(word + kOpen.size(), State::reasoning_begins);
      if (may_become_open(held.substr(word))) return drop(word, state_), false;
      return drop(word, State::reasoning);
    }
    case State::reasoning: {
      const bool searched = tags_ == Tags::text;
      const std::size_t tag = searched ? held.find(kClose) : held.npos;
      const std::size_t unfinished = searched ? unfinished_tag(held, kClose) : 0;
      const std::size_t keep_from = tag != held.npos ? tag : held.size() - unfinished;
      const std::size_t sure = line_breaks_before(held, keep_from);
      out.reasoning.append(held.substr(0, sure));
      if (tag != held.npos) return drop(tag + kClose.size(), State::answer_begins);
      held_.erase(0, sure);
      return false;
    }
    case State::answer_begins: {
      const std::size_t word = std::min(held.find_first_not_of("\r\n"), held.size());
      if (word == held.size()) return held_.clear(), false;
      return drop(word, State::answer);
    }
    case State::answer:
      out.text.append(held);
      held_.clear();
      return false;
  }
  return false;
}

}  // namespace hadal
