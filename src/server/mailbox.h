// What the engine thread leaves for the connection that waits for it.
//
// The engine thread must never block on a network; a connection must never be
// touched by the engine thread. So text is left here, under a short lock, and the
// connection is woken at most once until it has taken everything.
//
// Threads: push() and finish() on the engine thread; take() and close() on the
// connection's. After close() has returned, `wake` is never called again.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "chat/chat_model.h"

namespace hadal {

class Mailbox {
 public:
  // wake: schedules a take() elsewhere; it must not call back into this mailbox.
  explicit Mailbox(std::function<void()> wake) : wake_(std::move(wake)) {}

  void push(const Delta& delta) {
    const std::lock_guard lock(mutex_);
    if (!wake_) return;
    contents_.delta.append(delta);
    wake_once();
  }

  void finish(const Completion& completion) {
    const std::lock_guard lock(mutex_);
    if (!wake_) return;
    contents_.completion = completion;
    wake_once();
  }

  struct Contents {
    Delta delta;
    std::optional<Completion> completion;  // the last thing that ever comes
  };

  Contents take() {
    const std::lock_guard lock(mutex_);
    awake_ = false;
    return std::exchange(contents_, {});
  }

  void close() {
    const std::lock_guard lock(mutex_);
    wake_ = nullptr;
    contents_ = {};
  }

 private:
  void wake_once() {
    if (!std::exchange(awake_, true)) wake_();
  }

  std::mutex mutex_;
  std::function<void()> wake_;
  Contents contents_;
  bool awake_ = false;
};

}  // namespace hadal
