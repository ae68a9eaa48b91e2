// Progress by an artificial clock: how often it shows, what it says of the time left.
#include "base/progress.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "base/cancel.h"

namespace hadal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Screen {
  std::string text;
  SteadyClock::time_point time{};
  ProgressSink sink(bool is_terminal, int columns = 80) {
    ProgressSink sink;
    sink.write = [this](std::string_view more) { text += more; };
    sink.is_terminal = is_terminal;
    sink.columns = columns;
    sink.now = [this] { return time; };
    return sink;
  }
  std::ptrdiff_t count(char c) const { return std::count(text.begin(), text.end(), c); }
};

TEST(Progress, PlainLinesComeEveryTenSecondsAndOnceAtTheEnd) {
  Screen screen;
  {
    Progress progress(screen.sink(false), "copy", 100);
    for (int i = 1; i <= 100; ++i) {
      screen.time += milliseconds(250);
      progress.update(static_cast<std::uint64_t>(i));
    }
  }
  EXPECT_EQ(screen.count('\n'), 3);  // after 10 s, 20 s and at 25 s
  EXPECT_EQ(screen.count('\r') + screen.count('\x1b'), 0);
  EXPECT_NE(screen.text.find("copy  40 %, 15.0 s left"), std::string::npos) << screen.text;
  EXPECT_NE(screen.text.find("copy 100 %, 25.0 s\n"), std::string::npos) << screen.text;
}

TEST(Progress, APlainLineThatWasJustShownIsNotRepeatedAtTheEnd) {
  Screen screen;
  {
    Progress progress(screen.sink(false), "copy", 100);
    screen.time += seconds(11);
    progress.update(100);
  }
  EXPECT_EQ(screen.text, "copy 100 %, 11.0 s\n");
}

TEST(Progress, ATerminalRedrawsOneLineAtMostTenTimesASecond) {
  Screen screen;
  Progress progress(screen.sink(true), "copy", 1000);
  for (int i = 1; i <= 1000; ++i) {
    screen.time += milliseconds(1);
    progress.update(static_cast<std::uint64_t>(i));
  }
  progress.finish();
  progress.finish();
  EXPECT_EQ(screen.count('\r'), 11);
  EXPECT_EQ(screen.count('\n'), 1);
  EXPECT_NE(screen.text.find("[████████████████████████] 100 %"), std::string::npos);
}

TEST(Progress, ResumedWorkEstimatesFromWhatItAdds) {
  Screen screen;
  Progress progress(screen.sink(false), "train", 1000, /*start=*/900);
  screen.time += seconds(10);
  progress.update(950);
  EXPECT_NE(screen.text.find("train  95 %, 10.0 s left"), std::string::npos) << screen.text;  // not 0.5 s
}

TEST(Progress, UnknownTotalCounts) {
  Screen screen;
  Progress progress(screen.sink(false), "read", 0);
  screen.time += seconds(11);
  progress.update(7, "lines");
  EXPECT_EQ(screen.text, "read 7, 11.0 s  lines\n");
}

TEST(Progress, NarrowTerminalsGetACutLineThatIsWholeUtf8) {
  Screen screen;
  Progress progress(screen.sink(true, /*columns=*/12), "copy", 10);
  screen.time += seconds(1);
  progress.update(10);
  EXPECT_EQ(screen.text, "\r\x1b[Kcopy [█████");  // 11 cells: the last column stays free
}

TEST(Progress, WithoutASinkNothingIsShown) {
  Progress progress(ProgressSink::none(), "quiet", 10);
  progress.update(10);
}

TEST(Clock, DurationsReadWell) {
  EXPECT_EQ(format_duration(milliseconds(850)), "850 ms");
  EXPECT_EQ(format_duration(milliseconds(12340)), "12.3 s");
  EXPECT_EQ(format_duration(seconds(245)), "4 min 05 s");
  EXPECT_EQ(format_duration(seconds(12000)), "3 h 20 min");
  EXPECT_EQ(format_duration(seconds(187200)), "2 d 4 h");
  EXPECT_EQ(format_duration(Seconds(-1)), "0 ms");
  EXPECT_EQ(format_duration(Seconds(0.0 / 0.0)), "0 ms");
}

TEST(Clock, BytesReadWell) {
  EXPECT_EQ(format_bytes(812), "812 B");
  EXPECT_EQ(format_bytes(4.2 * 1024 * 1024), "4.2 MiB");
  EXPECT_EQ(format_bytes(5e15), "4547.5 TiB");
}

TEST(CancelFlag, CtrlCSetsItWhileAGuardLives) {
  CancelFlag outer, inner;
  InterruptGuard first(outer);
  {
    InterruptGuard second(inner);
    ::raise(SIGINT);
    EXPECT_TRUE(inner.requested());
    EXPECT_FALSE(outer.requested());
  }
  ::raise(SIGTERM);
  EXPECT_TRUE(outer.requested());
}

TEST(CancelFlagDeathTest, ASecondCtrlCThatNobodyHeardEndsTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        CancelFlag flag;
        InterruptGuard guard(flag);
        ::raise(SIGINT);
        ::raise(SIGINT);
      },
      testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace hadal
