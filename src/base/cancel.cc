#include "base/cancel.h"

#include <signal.h>
#include <unistd.h>

namespace hadal {
namespace {

std::atomic<CancelFlag*> current_flag{
    nullptr};  // a signal handler has no argument: the one global that cannot be avoided

void on_signal(int number) {
  CancelFlag* flag = current_flag.load();
  if (flag != nullptr && !flag->requested()) {
    number == SIGTERM ? flag->end() : flag->request();
    return;
  }
  _exit(128 + number);
}

}  // namespace

struct InterruptGuard::Saved {
  struct sigaction interrupt, terminate;
  CancelFlag* flag;
};

InterruptGuard::InterruptGuard(CancelFlag& flag) : saved_(new Saved) {
  saved_->flag = current_flag.exchange(&flag);
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // no SA_RESTART: a blocking read returns, so that the loop sees the flag
  sigaction(SIGINT, &action, &saved_->interrupt);
  sigaction(SIGTERM, &action, &saved_->terminate);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &saved_->interrupt, nullptr);
  sigaction(SIGTERM, &saved_->terminate, nullptr);
  current_flag.store(saved_->flag);
  delete saved_;
}

}  // namespace hadal
