// Stop strings over a stream of text: the stream ends before the first of them.
//
// "First" is the one that is complete first, and of those that end together the longest; whichever way the text is
// cut, the same text comes out. Only an end that may still become a stop string is held back.
// Threads: one stream, one thread at a time.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hadal {

class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);  // empty ones are ignored

  // What of the text is certain to stand before any stop. After a stop: "".
  std::string push(std::string_view text);
  std::string flush();  // the stream has ended: what was held back

  bool stopped() const { return stopped_; }
  const std::string& stop() const { return stop_; }  // the one that was met

 private:
  std::vector<std::string> stops_;
  std::string held_, stop_;
  bool stopped_ = false;
};

}  // namespace hadal
