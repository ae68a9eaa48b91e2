// Durations for people and for rates. Time is std::chrono, steady unless a calendar date is meant.
#pragma once

#include <chrono>
#include <string>

namespace hadal {

using SteadyClock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

class Stopwatch {
 public:
  Seconds elapsed() const { return SteadyClock::now() - start_; }
  void restart() { start_ = SteadyClock::now(); }

 private:
  SteadyClock::time_point start_ = SteadyClock::now();
};

// "850 ms", "12.3 s", "4 min 05 s", "3 h 20 min", "2 d 4 h".
std::string format_duration(Seconds duration);

// "812 B", "4.2 MiB".
std::string format_bytes(double bytes);

}  // namespace hadal
