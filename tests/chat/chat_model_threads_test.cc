// Many requests, many threads: nobody's text depends on who else is there, and every request ends exactly once, whether
// it is finished, cancelled, or still running when the model goes away.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>
#include <thread>
#include <vector>

#include "chat/open_tiny.h"
#include "text/tokenizer.h"

namespace hadal::testing {
namespace {

// The end of one request, for whoever waits for it, and how often it came.
class End {
 public:
  void arrives_at(GenerationRequest& request) {
    request.on_done = [this](const Completion& completion) {
      if (++times_ == 1) promise_.set_value(completion);
    };
  }
  Completion wait() { return future_.get(); }
  int times() const { return times_; }

 private:
  std::promise<Completion> promise_;
  std::future<Completion> future_ = promise_.get_future();
  std::atomic<int> times_ = 0;
};

GenerationRequest some_request(std::uint64_t seed) {
  // Of different lengths, and with beginnings in common: some share pages.
  return babble(std::string(40 + 23 * (seed % 5), 'x') + std::to_string(seed), 20 + static_cast<int>(seed % 7), seed);
}

void expect_nothing_held(const ChatModel& model) {
  const EngineStats stats = model.stats();
  EXPECT_EQ(stats.pages_held, 0);
  EXPECT_EQ(stats.active_sequences + stats.waiting_sequences, 0);
}

TEST(ChatModelThreads, ManyRequestsAtOnceSayWhatEachSaysAlone) {
  constexpr std::size_t kThreads = 4, kEach = 6;
  std::vector<std::string> alone(kThreads * kEach), together(kThreads * kEach);
  {
    const auto model = open_tiny(babbler());
    for (std::size_t i = 0; i < alone.size(); ++i) alone[i] = model->generate(some_request(i))->text;
  }
  const auto model = open_tiny(babbler());  // four run at once, the others wait
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < kThreads; ++t)
      threads.emplace_back([&, t] {
        std::vector<End> ends(kEach);
        for (std::size_t i = 0; i < kEach; ++i) {
          GenerationRequest request = some_request(t * kEach + i);
          ends[i].arrives_at(request);
          EXPECT_TRUE(model->submit(std::move(request)).ok());
        }
        for (std::size_t i = 0; i < kEach; ++i) together[t * kEach + i] = ends[i].wait().text;
      });
  }
  EXPECT_EQ(together, alone);
  EXPECT_EQ(model->stats().requests, kThreads * kEach);
  expect_nothing_held(*model);
}

TEST(ChatModelThreads, CallbacksOfARequestJoinToItsText) {
  const auto model = open_tiny(babbler());
  std::vector<std::string> joined(8);
  std::vector<End> ends(joined.size());
  for (std::size_t i = 0; i < joined.size(); ++i) {
    GenerationRequest request = some_request(i);
    request.on_delta = [&, i](const Delta& delta) {
      EXPECT_EQ(ends[i].times(), 0) << "on_done is the last";
      joined[i] += delta.text;
    };
    ends[i].arrives_at(request);
    ASSERT_TRUE(model->submit(std::move(request)).ok());
  }
  for (std::size_t i = 0; i < joined.size(); ++i) EXPECT_EQ(ends[i].wait().text, joined[i]);
}

TEST(ChatModelThreads, CancelFromAnotherThreadEndsOnceAndFreesThePages) {
  const auto model = open_tiny(babbler());
  std::latch started(1), cancelled(1);
  std::atomic<int> deltas = 0;
  End end;
  GenerationRequest request = babble(std::string(100, 'x'), 0, 1);
  request.on_delta = [&](const Delta&) {
    if (++deltas > 1) return;
    started.count_down();
    cancelled.wait();  // so that the answer cannot end before
  };
  end.arrives_at(request);
  const auto id = model->submit(std::move(request));
  ASSERT_TRUE(id.ok());
  started.wait();
  EXPECT_GT(model->stats().pages_held, 0);
  model->cancel(*id);
  model->cancel(*id);
  cancelled.count_down();
  const Completion completion = end.wait();
  expect_nothing_held(*model);
  EXPECT_EQ(completion.finish_reason, FinishReason::cancelled);
  EXPECT_LT(completion.usage.completion_tokens, 100);
  EXPECT_FALSE(completion.text.empty());  // what had been said is kept, and what it cost
  EXPECT_GT(completion.timings.prefill.count(), 0);
  EXPECT_GT(completion.timings.decode.count(), 0);
  model->cancel(*id);                     // finished: ignored
  EXPECT_EQ(model->generate(babble("hi", 3, 1))->usage.completion_tokens, 3);
  EXPECT_EQ(end.times(), 1);
}

TEST(ChatModelThreads, ACallbackMayCancelItsOwnRequestAndAnother) {
  const auto model = open_tiny(babbler());
  End first_end, second_end;
  GenerationRequest second = babble("second", 0, 2);
  std::atomic<std::uint64_t> first_id = 0, second_id = 0;
  std::latch submitted(1);
  GenerationRequest first = babble("first", 0, 1);
  first.on_delta = [&](const Delta&) {
    submitted.wait();
    model->cancel(SequenceId{second_id.load()});
    model->cancel(SequenceId{first_id.load()});
  };
  first_end.arrives_at(first);
  second_end.arrives_at(second);
  first_id = index(*model->submit(std::move(first)));
  second_id = index(*model->submit(std::move(second)));
  submitted.count_down();
  EXPECT_EQ(first_end.wait().finish_reason, FinishReason::cancelled);
  EXPECT_EQ(second_end.wait().finish_reason, FinishReason::cancelled);
  EXPECT_EQ(first_end.times() + second_end.times(), 2);
  expect_nothing_held(*model);
}

TEST(ChatModelThreads, ARequestThatWaitsCanBeCancelledAndTheOneThatRunsGoesOn) {
  const auto model = open_tiny(babbler(), {.exact = true, .threads = 1, .max_sequences = 1});
  std::latch started(1), go_on(1);
  int deltas = 0;
  End running_end, waiting_end;
  GenerationRequest running = babble("running", 30, 1), waiting = babble("waiting", 30, 2);
  running.on_delta = [&](const Delta&) {
    if (++deltas != 2) return;  // counts are published after each step
    started.count_down();
    go_on.wait();
  };
  running_end.arrives_at(running);
  waiting_end.arrives_at(waiting);
  ASSERT_TRUE(model->submit(std::move(running)).ok());
  started.wait();
  const auto id = model->submit(std::move(waiting));
  EXPECT_EQ(model->stats().active_sequences, 1);
  EXPECT_EQ(model->stats().waiting_sequences, 1);
  model->cancel(*id);
  go_on.count_down();
  const Completion cancelled = waiting_end.wait();
  EXPECT_EQ(cancelled.finish_reason, FinishReason::cancelled);
  EXPECT_EQ(cancelled.usage.completion_tokens, 0);
  EXPECT_EQ(cancelled.text, "");
  EXPECT_GT(cancelled.timings.queued.count(), 0);
  EXPECT_EQ(cancelled.timings.prefill.count() + cancelled.timings.decode.count(), 0);
  const Completion finished = running_end.wait();
  EXPECT_EQ(finished.finish_reason, FinishReason::length);
  EXPECT_EQ(finished.text, model->generate(babble("running", 30, 1))->text);
  EXPECT_EQ(running_end.times() + waiting_end.times(), 2);
}

TEST(ChatModelThreads, UnknownIdsAreIgnored) {
  const auto model = open_tiny(babbler());
  model->cancel(SequenceId{12345});
  EXPECT_EQ(model->generate(babble("hi", 3, 1))->finish_reason, FinishReason::length);
}

TEST(ChatModelThreads, DestructionEndsEveryRequestOnceRunningWaitingOrJustSubmitted) {
  std::vector<End> ends(12);
  {
    const auto model = open_tiny(babbler());
    for (std::size_t i = 0; i < ends.size(); ++i) {
      GenerationRequest request = babble("number " + std::to_string(i), 0, i);
      ends[i].arrives_at(request);
      ASSERT_TRUE(model->submit(std::move(request)).ok());
    }
  }
  int cancelled = 0;
  for (End& end : ends) {
    ASSERT_EQ(end.times(), 1);
    cancelled += end.wait().finish_reason == FinishReason::cancelled;
  }
  EXPECT_GE(cancelled, 8);  // of 12 answers of 500 tokens; four could run
}

TEST(ChatModelThreads, DestructionOfAnIdleModelIsQuick) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(open_tiny(babbler())->stats().requests, 0u);
}

TEST(ChatModelThreads, SubmitsAndCancelsFromManyThreadsAllEnd) {
  const auto model = open_tiny(babbler());
  constexpr int kThreads = 3, kEach = 12;
  std::atomic<int> finished = 0, cancelled = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([&, t] {
        std::vector<End> ends(kEach);
        for (int i = 0; i < kEach; ++i) {
          GenerationRequest request = babble("hi", i % 2 == 0 ? 5 : 0, static_cast<std::uint64_t>(t * kEach + i));
          ends[static_cast<std::size_t>(i)].arrives_at(request);
          const auto id = model->submit(std::move(request));
          if (id.ok() && i % 2 == 1) model->cancel(*id);
        }
        for (End& end : ends) ++(end.wait().finish_reason == FinishReason::cancelled ? cancelled : finished);
      });
  }
  EXPECT_EQ(finished + cancelled, kThreads * kEach);
  EXPECT_GE(finished, kThreads * kEach / 2);
  EXPECT_GT(cancelled, 0);
  expect_nothing_held(*model);
}

}  // namespace
}  // namespace hadal::testing
