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
};

void soak(Arithmetic arithmetic, std::uint64_t seed) {
  constexpr int kContext = 400;
  FakeModel model(arithmetic);
  const auto engine =
      *Engine::create(model, {.max_sequences = 7, .batch_tokens = 130, .context_tokens = kContext, .pages = 8});
  Rng rng(seed);
  std::map<SequenceId, Running> running;
  int finished = 0, aborted = 0, taken_over = 0;
  for (int step = 0; step < 1500; ++step) {
    if (rng.next_below(6) == 0 && running.size() < 20) {
      EngineRequest r;
      // Few beginnings, so that pages are shared; then something of its own.
      r.prompt = some_tokens(static_cast<int>(rng.next_in(1, 150)), rng.next_below(3));
      const auto own = some_tokens(static_cast<int>(rng.next_below(30)), rng.next_u64());
      r.prompt.insert(r.prompt.end(), own.begin(), own.end());
      r.group = 1;
      r.trace = rng.next_below(2) == 0 ? Trace::yes : Trace::no;
      if (!running.empty() && rng.next_below(3) == 0) {  // the same question again
        r.prompt = running.rbegin()->second.request.prompt;
        r.trace = running.rbegin()->second.request.trace;
      }
      r.sampling = {.temperature = 1, .top_p = 0.9, .seed = rng.next_u64()};
      r.max_tokens = static_cast<int>(rng.next_in(1, 149));
      if (rng.next_below(3) == 0) r.stop_tokens = {TokenId{5}};
      running[*engine->add(r)] = {r, {}};
    }
    if (rng.next_below(25) == 0 && !running.empty()) {
      auto it = running.begin();
      std::advance(it, static_cast<std::ptrdiff_t>(rng.next_below(running.size())));
      ASSERT_TRUE(engine->abort(it->first));
      running.erase(it);
      ++aborted;
    }
    for (const StepOutput& o : engine->step()) {
      Running& r = running.at(o.id);
      r.answer.push_back(o.token);
      if (o.finish == Finish::none) continue;
      ASSERT_EQ(r.answer, expected_answer(r.request, kContext));
      if (r.request.trace == Trace::yes) {
        ASSERT_EQ(o.sequence->routes.size(), (o.sequence->tokens.size() - 1) * 6);
        taken_over += o.sequence->cached_prompt_tokens;
      }
      running.erase(o.id);
      ++finished;
    }
    const EngineCounts counts = engine->counts();
    ASSERT_EQ(static_cast<std::size_t>(counts.running + counts.waiting), running.size());
    if (running.empty()) ASSERT_EQ(counts.held_pages, 0);
  }
  while (!engine->idle()) engine->step();
  EXPECT_EQ(engine->counts().held_pages, 0);
  EXPECT_GT(finished, 30);
  EXPECT_GT(aborted, 10);
  EXPECT_GT(taken_over, 0);  // with a trace only from one's own group
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
