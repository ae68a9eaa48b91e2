// Splits what a model writes into its reasoning (<think> ... </think>) and its answer, while it streams.
//
// What comes out joins to the same two texts however the input is cut, and is given as early as possible:
// only what may still become a tag, and line breaks that may still turn out to stand beside a tag, are held back.
//  - The tag </think> ends the reasoning; the first one counts, later ones are text.
//  - Where a vocabulary has the tags as tokens those alone count, and a text that spells one is text (MODELS.md 10.3).
//  - Reasoning begins at once when the prompt has opened it, or with a <think> before anything but white space.
//    A <think> that repeats what the prompt has opened is dropped too (some models write it again).
//  - Line breaks beside the tags belong to the format, not to the text: those after <think>, before and after
//    </think> are dropped. All other white space is kept.
//  - Without tags all is answer, unchanged.
//  - A stream that ends inside a thought has reasoning and no answer.
//
// Not the parser of tool calls. Threads: one stream, one thread at a time.
#pragma once

#include <string>
#include <string_view>

namespace hadal {

struct SplitText {
  std::string reasoning, text;  // what became certain; either may be empty
};

class ReasoningSplitter {
 public:
  enum class Start {
    answer,     // nothing is split: all text is answer
    undecided,  // reasoning if the model opens it
    reasoning,  // the prompt ended with <think>
  };
  // How tags arrive. tokens: by push_tag() alone.
  enum class Tags { text, tokens };
  enum class Tag { open, close };
  explicit ReasoningSplitter(Start start, Tags tags = Tags::text) : tags_(tags), state_(first_state(start)) {}

  SplitText push(std::string_view text);
  SplitText push_tag(Tag tag);
  SplitText flush();  // the end of the stream: what was held back
  // What follows is answer, whatever was open: a token that is no text stands here.
  SplitText end_thought();

  bool in_reasoning() const { return state_ == State::reasoning || state_ == State::reasoning_begins; }

 private:
  enum class State {
    undecided,         // only white space so far
    reasoning_begins,  // after <think>: line breaks are dropped, and a second <think>
    reasoning,
    answer_begins,  // after </think>: line breaks are dropped
    answer,
  };
  static State first_state(Start start);
  bool step(SplitText& out);  // false: more input is needed
  bool begins_with_open(std::string_view text) const;
  bool may_become_open(std::string_view text) const;

  Tags tags_;
  State state_;
  std::string held_;
};

}  // namespace hadal
