// Thousands of steps of arrivals, aborts, shared beginnings and a cache that is too small: every answer is right and no
// page is lost.
#include <gtest/gtest.h>

#include <map>

#include "fake_model.h"

namespace hadal {
namespace {

struct Running {
  EngineRequest request;
  std::vector<TokenId> answer;
  int last_step = 0;       // in which a token of it was drawn
  bool preempted = false;  // while it was answered: one that runs is given a token in every step
};

EngineRequest some_request(Rng& rng, const std::map<SequenceId, Running>& running) {
  EngineRequest r;
  // Few beginnings, so that pages are shared; then something of its own.
  r.prompt = some_tokens(static_cast<int>(rng.next_in(1, 90)), rng.next_below(3));
  const auto own = some_tokens(static_cast<int>(rng.next_below(30)), rng.next_u64());
  r.prompt.insert(r.prompt.end(), own.begin(), own.end());
  r.group = 1;
  r.trace = rng.next_below(2) == 0 ? Trace::yes : Trace::no;
  if (!running.empty() && rng.next_below(3) > 0) {  // the same question again
    r.prompt = running.rbegin()->second.request.prompt;
    r.trace = running.rbegin()->second.request.trace;
  }
  const SamplingParams kinds[] = {{}, {.temperature = 1}, {.temperature = 1, .top_p = 0.9}};
  r.sampling = kinds[rng.next_below(3)];
  r.sampling.seed = rng.next_u64();
  r.max_tokens = static_cast<int>(rng.next_in(1, 250));
  if (rng.next_below(3) == 0) r.stop_tokens = {TokenId{5}};
  return r;
}

void soak(Arithmetic arithmetic, std::uint64_t seed) {
  constexpr int kContext = 400;
  FakeModel model(arithmetic);
  const auto engine =
      *Engine::create(model, {.max_sequences = 7, .batch_tokens = 130, .context_tokens = kContext, .pages = 8});
  Rng rng(seed);
  std::map<SequenceId, Running> running;
  int finished = 0, aborted = 0, taken_over = 0, preempted_traces = 0, preempted_takeovers = 0;
  const auto take = [&](int step, std::span<const StepOutput> outputs) {
    for (const StepOutput& o : outputs) {
      Running& r = running.at(o.id);
      r.preempted |= !r.answer.empty() && step > r.last_step + 1;
      r.last_step = step;
      r.answer.push_back(o.token);
      if (o.finish == Finish::none) continue;
      ASSERT_EQ(r.answer, expected_answer(r.request, kContext));
      if (r.request.trace == Trace::yes) {
        ASSERT_NO_FATAL_FAILURE(expect_trace(*o.sequence, r.request, r.answer));
        taken_over += o.sequence->cached_prompt_tokens > 0;
        preempted_traces += r.preempted;
        preempted_takeovers += r.preempted && o.sequence->cached_prompt_tokens > 0;
      }
      running.erase(o.id);
      ++finished;
    }
  };
  int step = 0;
  for (; step < 12000; ++step) {
    if (rng.next_below(6) == 0 && running.size() < 20) {
      const EngineRequest r = some_request(rng, running);
      running[*engine->add(r)] = {r, {}};
    }
    if (rng.next_below(60) == 0 && !running.empty()) {
      auto it = running.begin();
      std::advance(it, static_cast<std::ptrdiff_t>(rng.next_below(running.size())));
      ASSERT_TRUE(engine->abort(it->first));
      running.erase(it);
      ++aborted;
    }
    ASSERT_NO_FATAL_FAILURE(take(step, engine->step()));
    const EngineCounts counts = engine->counts();
    ASSERT_EQ(static_cast<std::size_t>(counts.running + counts.waiting), running.size());
    if (running.empty()) ASSERT_EQ(counts.held_pages, 0);
  }
  for (; !engine->idle(); ++step) ASSERT_NO_FATAL_FAILURE(take(step, engine->step()));
  EXPECT_TRUE(running.empty());
  EXPECT_EQ(engine->counts().held_pages, 0);
  EXPECT_GT(finished, 30);
  EXPECT_GT(aborted, 10);
  EXPECT_GT(taken_over, 10);  // traces: only from one's own group
  EXPECT_GT(preempted_traces, 10);
  EXPECT_GT(preempted_takeovers, 0);
  EXPECT_GT(engine->counts().preemptions, 0u);
  EXPECT_GT(engine->counts().cached_prompt_tokens, 0u);
}

TEST(EngineSoak, FastArithmetic) {
  soak(Arithmetic::fast, 1);
}
TEST(EngineSoak, ExactArithmetic) {
  soak(Arithmetic::exact, 2);
}

}  // namespace
}  // namespace hadal
