#include "server/mailbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace hadal {
namespace {

TEST(Mailbox, WakesOnceUntilItIsEmptied) {
  int wakes = 0;
  Mailbox box([&] { ++wakes; });
  box.push({.reasoning = "a", .text = ""});
  box.push({.reasoning = "b", .text = "c"});
  box.finish({});
  EXPECT_EQ(wakes, 1);
  const Mailbox::Contents contents = box.take();
  EXPECT_EQ(contents.delta.reasoning, "ab");
  EXPECT_EQ(contents.delta.text, "c");
  EXPECT_TRUE(contents.completion);
  box.push({.reasoning = "", .text = "d"});
  EXPECT_EQ(wakes, 2);
}

TEST(Mailbox, ArgumentsOfOneCallAreJoined) {
  Mailbox box([] {});
  box.push({.reasoning = "", .text = "", .tool_calls = {{.index = 0, .name = "f", .arguments = "{"}}});
  box.push({.reasoning = "", .text = "", .tool_calls = {{.index = 0, .arguments = "}"}, {.index = 1, .name = "f"}}});
  const std::vector<ToolCallDelta> calls = box.take().delta.tool_calls;
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].arguments, "{}");
  EXPECT_EQ(calls[1].name, "f");
}

TEST(Mailbox, NobodyIsWokenAfterItIsClosed) {
  int wakes = 0;
  Mailbox box([&] { ++wakes; });
  box.close();
  box.push({.reasoning = "a", .text = "b"});
  box.finish({});
  EXPECT_EQ(wakes, 0);
  EXPECT_TRUE(box.take().delta.reasoning.empty());
  EXPECT_FALSE(box.take().completion);
}

TEST(Mailbox, NothingIsLostOrReorderedBetweenThreads) {
  constexpr int kPieces = 20'000;
  std::atomic<bool> awake = false;
  Mailbox box([&] { awake = true; });
  std::jthread engine([&] {
    for (int i = 0; i < kPieces; ++i)
      box.push({.reasoning = "", .text = std::string(1, static_cast<char>('a' + i % 26))});
    box.finish({});
  });
  std::string text;
  for (bool done = false; !done;) {
    while (!awake.exchange(false)) std::this_thread::yield();
    const Mailbox::Contents contents = box.take();
    text += contents.delta.text;
    done = contents.completion.has_value();
  }
  ASSERT_EQ(text.size(), static_cast<std::size_t>(kPieces));
  for (int i = 0; i < kPieces; ++i) ASSERT_EQ(text[static_cast<std::size_t>(i)], 'a' + i % 26) << i;
}

}  // namespace
}  // namespace hadal
