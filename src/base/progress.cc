#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace hadal {
namespace {

constexpr auto kTerminalInterval = std::chrono::milliseconds(100);
constexpr auto kPlainInterval = std::chrono::seconds(10);
constexpr int kBarCells = 24;

}  // namespace

ProgressSink ProgressSink::to(std::FILE* file) {
  ProgressSink sink;
  sink.write = [file](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), file);
    std::fflush(file);
  };
  sink.is_terminal = isatty(fileno(file)) == 1;
  winsize size{};
  if (sink.is_terminal && ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) sink.columns = size.ws_col;
  return sink;
}

Progress::Progress(ProgressSink sink, std::string title, std::uint64_t total, std::uint64_t start)
    : sink_(std::move(sink)),
      title_(std::move(title)),
      total_(total),
      start_(start),
      done_(start),
      begin_(sink_.now()),
      next_show_(begin_ + (sink_.is_terminal ? SteadyClock::duration(kTerminalInterval) : kPlainInterval)) {}

Progress::~Progress() {
  finish();
}

void Progress::update(std::uint64_t done, std::string_view note) {
  done_ = done;
  note_ = note;
  if (finished_ || !sink_.write) return;
  const auto now = sink_.now();
  if (now < next_show_) return;
  next_show_ = now + (sink_.is_terminal ? SteadyClock::duration(kTerminalInterval) : kPlainInterval);
  show();
}

void Progress::finish() {
  if (std::exchange(finished_, true) || !sink_.write) return;
  if (sink_.is_terminal || shown_ != done_) show();
  if (sink_.is_terminal) sink_.write("\n");
}

void Progress::show() {
  shown_ = done_;
  const Seconds elapsed = sink_.now() - begin_;
  std::string line = title_;
  if (total_ > 0) {
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    if (sink_.is_terminal) {
      const int full = static_cast<int>(share * kBarCells);
      line += fmt::format(" [{:█>{}}{:·>{}}]", "", full, "", kBarCells - full);
    }
    line += fmt::format(" {:3.0f} %", 100 * share);
    if (done_ >= total_) {
      line += fmt::format(", {}", format_duration(elapsed));
    } else if (done_ > start_) {
      const double left = static_cast<double>(total_ - done_) / static_cast<double>(done_ - start_);
      line += fmt::format(", {} left", format_duration(elapsed * left));
    }
  } else {
    line += fmt::format(" {}, {}", done_, format_duration(elapsed));
  }
  if (!note_.empty()) line += "  " + note_;
  if (!sink_.is_terminal) {
    sink_.write(line + "\n");
    return;
  }
  // Cut by characters, not bytes, so that the line never wraps: a wrapped line cannot be redrawn.
  std::size_t end = 0;
  for (int shown = 0; end < line.size(); ++end)
    if ((static_cast<unsigned char>(line[end]) & 0xc0) != 0x80 && ++shown >= sink_.columns) break;
  sink_.write("\r\x1b[K" + line.substr(0, end));
}

}  // namespace hadal
