#include "cli/answer_session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <optional>

#include "base/clock.h"
#include "cli/command.h"

namespace hadal {
namespace {

constexpr auto kCancelPoll = std::chrono::milliseconds(50);  // how soon Ctrl-C is noticed
constexpr double kWattsPerThread = 30;   // a core of a server at work, with its share of memory and cooling
constexpr double kDollarsPerKwh = 0.30;  // a household's price
constexpr const char *kDim = "\033[2m", *kPlain = "\033[0m";

// Text goes to stdout in pieces; between reasoning and answer stands whatever tells them apart there.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(ShowAnswer show) : show_(show), terminal_(isatty(STDOUT_FILENO) == 1) {}
  ~AnswerPrinter() { leave_reasoning(); }
  AnswerPrinter(const AnswerPrinter&) = delete;
  AnswerPrinter& operator=(const AnswerPrinter&) = delete;

  void print(const Delta& delta) {
    if (show_ == ShowAnswer::no) return;
    if (!delta.reasoning.empty()) {
      if (state_ == State::nothing) enter_reasoning();
      write_out(delta.reasoning);
      line_open_ = delta.reasoning.back() != '\n';
    }
    if (!delta.text.empty()) {
      leave_reasoning();
      state_ = State::answer;
      write_out(delta.text);
      line_open_ = delta.text.back() != '\n';
    }
    std::fflush(stdout);
  }
  void end_line() {
    leave_reasoning();
    if (show_ == ShowAnswer::yes && line_open_) write_out("\n");
    std::fflush(stdout);
  }

 private:
  enum class State { nothing, reasoning, answer };

  void enter_reasoning() {
    state_ = State::reasoning;
    write_out(terminal_ ? kDim : "<think>\n");
  }
  void leave_reasoning() {
    if (state_ != State::reasoning) return;
    state_ = State::nothing;
    if (line_open_) write_out("\n");
    write_out(terminal_ ? fmt::format("{}\n", kPlain) : "</think>\n\n");
    line_open_ = false;
  }

  ShowAnswer show_;
  bool terminal_, line_open_ = false;
  State state_ = State::nothing;
};

// What the engine thread leaves for the thread that prints.
class Inbox {
 public:
  void add(const Delta& delta) {
    const std::lock_guard lock(mutex_);
    delta_.append(delta);
    changed_.notify_one();
  }
  void end(const Completion& completion) {
    const std::lock_guard lock(mutex_);
    completion_ = completion;
    changed_.notify_one();
  }
  // What has come since the last call; a completion when that was all. Waits, but not for long.
  std::optional<Completion> take(Delta& delta) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kCancelPoll, [&] { return completion_ || !delta_.empty(); });
    delta = std::move(delta_);
    delta_ = {};
    return completion_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Delta delta_;
  std::optional<Completion> completion_;
};

double seconds(std::chrono::nanoseconds time) {
  return Seconds(time).count();
}

}  // namespace

Result<Completion> ask(ChatModel& model, GenerationRequest request, const CancelFlag& cancel, ShowAnswer show) {
  Inbox inbox;
  request.on_delta = [&](const Delta& delta) { inbox.add(delta); };
  request.on_done = [&](const Completion& completion) { inbox.end(completion); };
  HADAL_ASSIGN(const SequenceId id, model.submit(std::move(request)));
  AnswerPrinter printer(show);
  bool cancelled = false;
  for (;;) {
    Delta delta;
    const std::optional<Completion> done = inbox.take(delta);
    printer.print(delta);
    if (done) {
      printer.end_line();
      if (done->error) return *done->error;
      return *done;
    }
    if (cancel.requested() && !cancelled) {
      cancelled = true;
      model.cancel(id);
    }
  }
}

RunningCost assumed_cost(int threads) {
  return {.watts = kWattsPerThread * threads, .dollars_per_kwh = kDollarsPerKwh};
}

std::string summary_line(const Completion& completion, int threads) {
  const Usage& usage = completion.usage;
  const double prefill = seconds(completion.timings.prefill), decode = seconds(completion.timings.decode);
  std::string line =
      fmt::format("{} tokens in {}", usage.completion_tokens, format_duration(Seconds(prefill + decode)));
  // The first token comes out of the prompt's pass; decode counts the others.
  if (decode > 0 && usage.completion_tokens > 1)
    line += fmt::format(": {:.0f} tokens/s", (usage.completion_tokens - 1) / decode);
  line += fmt::format(" (prompt {} tokens{} in {})", usage.prompt_tokens,
                      usage.cached_prompt_tokens > 0 ? fmt::format(", {} cached,", usage.cached_prompt_tokens) : "",
                      format_duration(Seconds(prefill)));
  if (usage.completion_tokens > 0) {
    const RunningCost cost = assumed_cost(threads);
    line += fmt::format("; ${:.3g}, or ${:.3g} per million tokens, if {:.0f} W at ${:.2f}/kWh are assumed",
                        cost.dollars(prefill + decode), cost.dollars(prefill + decode) / usage.completion_tokens * 1e6,
                        cost.watts, cost.dollars_per_kwh);
  }
  return line;
}

}  // namespace hadal
