// A request to stop, set by Ctrl-C or by another thread, asked for in long loops.
//
// request(), end() and what asks for them may be called from any thread and from a signal handler.
#pragma once

#include <atomic>

namespace hadal {

class CancelFlag {
 public:
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }
  void reset() noexcept { requested_.store(ended(), std::memory_order_relaxed); }
  bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }

  // Not only what is going on, the program: SIGTERM. No reset() takes it back.
  void end() noexcept {
    ended_.store(true, std::memory_order_relaxed);
    request();
  }
  bool ended() const noexcept { return ended_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> requested_{false}, ended_{false};
  static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");
};

// While it lives, SIGINT requests `flag` and SIGTERM ends it, instead of the process; a second one that finds the flag
// still set ends the process, so that a program which has stopped listening can always be left. One guard at a time (the
// innermost counts; they end in reverse order). The previous handlers come back at the end.
class InterruptGuard {
 public:
  explicit InterruptGuard(CancelFlag& flag);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct Saved;
  Saved* saved_;
};

}  // namespace hadal
