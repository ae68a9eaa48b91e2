// How far long work is: a bar with the time left on a terminal, plain lines elsewhere.
//
// It formats; where the text goes is the sink's business, so libraries take a
// ProgressSink and print nothing of themselves. One thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace hadal {

struct ProgressSink {
  std::function<void(std::string_view)> write;  // empty: nothing is shown
  bool is_terminal = false;                     // redraw one line, or write few whole lines
  int columns = 80;
  std::function<SteadyClock::time_point()> now = [] { return SteadyClock::now(); };

  static ProgressSink none() { return {}; }
  // stderr, as a rule; a terminal is recognised and asked for its width.
  static ProgressSink to(std::FILE* file);
};

class Progress {
 public:
  // total in any unit, 0: unknown. Work resumed at `start` counts only what it adds for the time left.
  Progress(ProgressSink sink, std::string title, std::uint64_t total, std::uint64_t start = 0);
  ~Progress();  // finish()
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Cheap to call often: shows at most 10 times a second on a terminal, else once in 10 s. `note` stands behind the
  // bar.
  void update(std::uint64_t done, std::string_view note = {});
  // Shows the last state, on a terminal once more, and ends the line.
  void finish();

 private:
  void show();

  ProgressSink sink_;
  std::string title_, note_;
  std::uint64_t total_, start_, done_;
  SteadyClock::time_point begin_, next_show_;
  std::optional<std::uint64_t> shown_;  // what the last line said was done
  bool finished_ = false;
};

}  // namespace hadal
