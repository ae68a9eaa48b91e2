// The engine's promises, checked with a model whose answer can be computed without an engine: whatever is in the batch,
// however prompts are cut, whoever is preempted, an answer stays what its own request says.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <new>

#include "base/allocations.h"
#include "fake_model.h"

namespace hadal {
namespace {

EngineLimits limits(int sequences = 4, int batch = 96, int pages = 64, int context = 512) {
  return {.max_sequences = sequences, .batch_tokens = batch, .context_tokens = context, .pages = pages};
}

struct Answers {
  std::map<SequenceId, std::vector<TokenId>> tokens;
  std::map<SequenceId, Finish> finish;
  std::map<SequenceId, std::vector<ExpertId>> routes;
  std::map<SequenceId, int> cached;

  void take(std::span<const StepOutput> outputs) {
    for (const StepOutput& o : outputs) {
      tokens[o.id].push_back(o.token);
      if (o.finish == Finish::none) continue;
      EXPECT_FALSE(finish.contains(o.id)) << "finished twice";
      finish[o.id] = o.finish;
      routes[o.id] = o.sequence->routes;
      cached[o.id] = o.sequence->cached_prompt_tokens;
    }
  }
  void run(Engine& engine) {
    while (!engine.idle()) take(engine.step());
  }
};

EngineRequest request(int prompt, std::uint64_t seed, int max_tokens = 20, double temperature = 1) {
  return {.prompt = some_tokens(prompt, seed),
          .sampling = {.temperature = temperature, .seed = seed},
          .max_tokens = max_tokens,
          .stop_tokens = {}};
}

std::unique_ptr<Engine> engine_for(FakeModel& model, const EngineLimits& l) {
  return *Engine::create(model, l);
}

void expect_no_page_held(const Engine& engine) {
  const EngineCounts counts = engine.counts();
  EXPECT_EQ(counts.held_pages, 0);
  EXPECT_EQ(counts.running + counts.waiting, 0);
}

TEST(Engine, BatchOfThreeIsThreeBatchesOfOne) {
  FakeModel model;
  const auto engine = engine_for(model, limits());
  Answers together;
  std::vector<EngineRequest> requests{request(10, 1), request(200, 2), request(65, 3, 40, 0)};
  std::vector<SequenceId> ids;
  for (const auto& r : requests) ids.push_back(*engine->add(r));
  together.run(*engine);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto alone = engine_for(model, limits());
    Answers one;
    const SequenceId id = *alone->add(requests[i]);
    one.run(*alone);
    EXPECT_EQ(together.tokens[ids[i]], one.tokens[id]);
    EXPECT_EQ(together.tokens[ids[i]], expected_answer(requests[i], 512));
    EXPECT_EQ(together.finish[ids[i]], Finish::length);
  }
  expect_no_page_held(*engine);
}

TEST(Engine, ChunkedPrefillIsWholePrefill) {
  for (const int batch : {1, 100, 128, 1000}) {  // 1 is raised to what lets every sequence decode
    FakeModel model;
    const auto engine = engine_for(model, limits(1, batch));
    Answers answers;
    const auto r = request(437, 5);
    const SequenceId id = *engine->add(r);
    answers.run(*engine);
    EXPECT_EQ(answers.tokens[id], expected_answer(r, 512)) << batch;
  }
}

TEST(Engine, ALongPromptDoesNotHoldUpRunningAnswersNorNewShortPrompts) {
  FakeModel model;
  const auto engine = engine_for(model, limits(4, 100, 64, 2000));
  Answers answers;
  const SequenceId first = *engine->add(request(5, 1, 100));
  answers.take(engine->step());
  const SequenceId big = *engine->add(request(1500, 2, 3));
  answers.take(engine->step());
  const SequenceId small = *engine->add(request(20, 3, 100));
  for (int i = 0; i < 5; ++i) {
    const std::size_t before = answers.tokens[first].size();
    answers.take(engine->step());
    EXPECT_EQ(answers.tokens[first].size(), before + 1);
  }
  EXPECT_GE(answers.tokens[small].size(), 3u);
  EXPECT_EQ(answers.tokens[big].size(), 0u);
  answers.run(*engine);
  EXPECT_EQ(answers.tokens[big].size(), 3u);
}

TEST(Engine, PreemptionChangesNothing) {
  for (const Arithmetic arithmetic : {Arithmetic::fast, Arithmetic::exact}) {
    FakeModel model(arithmetic);
    // Six sequences that want 3 to 4 pages each, in 8 pages: they grow into each other.
    const auto engine = engine_for(model, limits(6, 400, 8, 300));
    Answers answers;
    std::vector<EngineRequest> requests;
    std::vector<SequenceId> ids;
    for (int i = 0; i < 6; ++i) requests.push_back(request(30 + 7 * i, 100 + static_cast<std::uint64_t>(i), 150));
    for (const auto& r : requests) ids.push_back(*engine->add(r));
    answers.run(*engine);
    EXPECT_GT(engine->counts().preemptions, 0u);
    for (std::size_t i = 0; i < ids.size(); ++i)
      EXPECT_EQ(answers.tokens[ids[i]], expected_answer(requests[i], 300)) << i;
    expect_no_page_held(*engine);
  }
}

TEST(Engine, ACommonBeginningIsComputedOnce) {
  FakeModel model;
  const auto engine = engine_for(model, limits());
  Answers answers;
  auto a = request(150, 7, 4), b = a;
  b.prompt.resize(140);  // two full pages in common, then its own words
  b.prompt[130] = TokenId{index(b.prompt[130]) ^ 1};
  const SequenceId first = *engine->add(a);
  answers.run(*engine);
  const int rows_before = model.rows;
  const SequenceId second = *engine->add(b);
  answers.run(*engine);
  EXPECT_EQ(answers.cached[first], 0);
  EXPECT_EQ(answers.cached[second], 128);
  EXPECT_EQ(model.rows - rows_before, 140 - 128 + 3);
  EXPECT_EQ(answers.tokens[second], expected_answer(b, 512));
  EXPECT_EQ(engine->counts().cached_prompt_tokens, 128u);
}

TEST(Engine, AFullyCachedPromptStillComputesItsLastToken) {
  FakeModel model;
  const auto engine = engine_for(model, limits());
  Answers answers;
  const auto r = request(128, 8, 5);
  answers.run((static_cast<void>(*engine->add(r)), *engine));
  const SequenceId again = *engine->add(r);
  answers.run(*engine);
  EXPECT_EQ(answers.cached[again], 64);  // the last page would leave nothing to compute
  EXPECT_EQ(answers.tokens[again], expected_answer(r, 512));
}

TEST(Engine, AnAnswerIsFoundAgainWhenItComesBackAsAPrompt) {
  FakeModel model;
  const auto engine = engine_for(model, limits());
  Answers answers;
  auto r = request(50, 9, 100);
  const SequenceId first = *engine->add(r);
  answers.run(*engine);
  r.prompt.insert(r.prompt.end(), answers.tokens[first].begin(), answers.tokens[first].end());
  const SequenceId second = *engine->add(r);
  answers.run(*engine);
  EXPECT_EQ(answers.cached[second], 128);
  EXPECT_EQ(answers.tokens[second], expected_answer(r, 512));
}

TEST(Engine, SequencesShareAPageOnlyWhileItIsFull) {
  FakeModel model;
  const auto engine = engine_for(model, limits());
  std::map<int, int> writers;
  model.on_forward = [&](const ForwardBatch& batch) {  // no page is written by two segments of one batch
    std::map<PageId, int> written;
    for (const Segment& s : batch.segments)
      for (int p = s.first_position / kPageTokens; p <= (s.first_position + s.rows - 1) / kPageTokens; ++p)
        EXPECT_EQ(++written[s.pages[static_cast<std::size_t>(p)]], 1);
  };
  Answers answers;
  auto a = request(100, 10, 80), b = a;
  b.sampling.seed = 11;
  std::vector<SequenceId> ids{*engine->add(a), *engine->add(b)};
  answers.run(*engine);
  EXPECT_EQ(answers.tokens[ids[0]], expected_answer(a, 512));
  EXPECT_EQ(answers.tokens[ids[1]], expected_answer(b, 512));
  EXPECT_NE(answers.tokens[ids[0]], answers.tokens[ids[1]]);
}

TEST(Engine, StopsAtStopTokensAtTheLimitAndAtTheEndOfTheContext) {
  FakeModel model;
  const auto engine = engine_for(model, limits(4, 96, 64, 100));
  auto stops = request(20, 12, 50);
  stops.stop_tokens = {expected_answer(stops, 100)[7]};
  const auto expected = expected_answer(stops, 100);
  Answers answers;
  const SequenceId stopped = *engine->add(stops), limited = *engine->add(request(20, 13, 9)),
                   full = *engine->add(request(95, 14, 0));
  answers.run(*engine);
  EXPECT_EQ(answers.finish[stopped], Finish::stop);
  EXPECT_EQ(answers.tokens[stopped], expected);
  EXPECT_EQ(answers.finish[limited], Finish::length);
  EXPECT_EQ(answers.tokens[limited].size(), 9u);
  EXPECT_EQ(answers.finish[full], Finish::length);
  EXPECT_EQ(answers.tokens[full].size(), 5u);
}

TEST(Engine, AnAbortLeavesNoPageWhereverTheSequenceIs) {
  FakeModel model;
  const auto engine = engine_for(model, limits(2, 96));
  const SequenceId decoding = *engine->add(request(10, 1, 50));
  engine->step();
  const SequenceId prefilling = *engine->add(request(400, 2, 50)), waiting = *engine->add(request(10, 3, 50));
  engine->step();
  EXPECT_EQ(engine->counts().waiting, 1);
  for (const SequenceId id : {prefilling, waiting, decoding}) {
    EXPECT_TRUE(engine->abort(id));
    EXPECT_FALSE(engine->abort(id));
  }
  expect_no_page_held(*engine);
  EXPECT_TRUE(engine->step().empty());
}

TEST(Engine, AStepWithoutMemoryDrawsNothingAndTheEngineGoesOn) {
  FakeModel model;
  int steps = 0;
  model.on_forward = [&steps](const ForwardBatch&) {
    if (++steps % 3 == 0) throw std::bad_alloc();
  };
  const auto engine = engine_for(model, limits(3, 96, 24));  // so few pages that one is preempted
  const std::vector<EngineRequest> requests{request(300, 1, 150), request(200, 2, 250), request(400, 3, 90)};
  std::vector<SequenceId> ids;
  for (const auto& r : requests) ids.push_back(*engine->add(r));
  Answers answers;
  int thrown = 0;
  while (!engine->idle()) try {
      answers.take(engine->step());
    } catch (const std::bad_alloc&) {
      if (++thrown == 7) EXPECT_TRUE(engine->abort(ids[2]));
    }
  EXPECT_GT(thrown, 7);
  for (const std::size_t i : {0u, 1u}) EXPECT_EQ(answers.tokens[ids[i]], expected_answer(requests[i], 512));
  expect_no_page_held(*engine);
}

// Three sequences that grow into each other in eight pages; nothing of their holder's is found by another one.
// `failing`: which allocation of all steps fails. Gives how often a step threw.
int answer_without_an_allocation(int failing, Trace trace) {
  FakeModel model;
  const auto engine = engine_for(model, limits(3, 96, 8, 300));
  // libstdc++ keeps 64 in a block of the queue: when 61 and these three have left it, who comes back needs a new one.
  std::vector<SequenceId> gone;
  for (int i = 0; i < 61; ++i) gone.push_back(*engine->add(request(5, 1)));
  std::map<SequenceId, EngineRequest> requests;
  for (std::uint64_t i = 0; i < 3; ++i) {
    EngineRequest r = request(100, i, 150);
    r.sampling.top_k = 7;
    r.trace = trace;
    r.holder = 1;
    requests[*engine->add(r)] = r;
  }
  for (const SequenceId id : gone) engine->abort(id);
  Answers answers;
  int thrown = 0, allocations = 0;
  for (int step = 0; !engine->idle(); ++step) {
    if (step == 2000) {
      ADD_FAILURE() << "stuck after allocation " << failing << " has failed";
      return 0;
    }
    std::span<const StepOutput> outputs;
    start_counting_allocations(failing - allocations);
    try {
      outputs = engine->step();
    } catch (const std::bad_alloc&) {
      ++thrown;
    }
    allocations += stop_counting_allocations();
    answers.take(outputs);
    for (const StepOutput& o : outputs)
      if (trace == Trace::yes && o.finish != Finish::none)
        expect_trace(*o.sequence, requests[o.id], answers.tokens[o.id]);
  }
  EXPECT_GT(engine->counts().preemptions, 0u);
  expect_no_page_held(*engine);
  for (const auto& [id, r] : requests) EXPECT_EQ(answers.tokens[id], expected_answer(r, 300));
  for (auto& [id, r] : requests) {
    r.holder = 0;
    const SequenceId again = *engine->add(r);
    answers.run(*engine);
    EXPECT_EQ(answers.cached[again], 0);
  }
  return thrown;
}

TEST(Engine, WhicheverAllocationOfAStepFailsTheAnswersStayTheSame) {
  for (const Trace trace : {Trace::no, Trace::yes}) {
    int failing = 0;
    while (answer_without_an_allocation(failing, trace) > 0) {
      ASSERT_FALSE(HasFailure()) << failing;
      ++failing;
    }
    EXPECT_GT(failing, trace == Trace::yes ? 10 : 1);
  }
}

// What is not in full pages is copied; in exact arithmetic it is computed as it would be alone.
TEST(Engine, ThePromptOfAGroupIsComputedOnce) {
  for (const Arithmetic arithmetic : {Arithmetic::fast, Arithmetic::exact})
    for (const Trace trace : {Trace::no, Trace::yes}) {
      FakeModel model(arithmetic);
      const auto engine = engine_for(model, limits(4, 256));  // the last of five is admitted when another has ended
      Answers answers;
      std::vector<EngineRequest> requests;
      std::vector<SequenceId> ids;
      for (std::uint64_t i = 0; i < 5; ++i) {
        requests.push_back(request(150, 7, 20 + static_cast<int>(i)));
        requests.back().sampling.seed = i;
        requests.back().group = 3;
        requests.back().trace = trace;
        ids.push_back(*engine->add(requests.back()));
      }
      answers.run(*engine);
      const int each = arithmetic == Arithmetic::exact ? 150 - 128 : 1;
      EXPECT_EQ(model.rows, 150 + 4 * each + 19 + 20 + 21 + 22 + 23);
      for (std::size_t i = 0; i < ids.size(); ++i) {
        EXPECT_EQ(answers.tokens[ids[i]], expected_answer(requests[i], 512));
        EXPECT_EQ(answers.cached[ids[i]], i == 0 ? 0 : 150 - each);
        if (trace == Trace::yes) expect_routes(answers.routes[ids[i]], requests[i], answers.tokens[ids[i]]);
      }
      expect_no_page_held(*engine);
    }
}

// The only token of such a prompt is computed by each, for its logits: there is nothing to take over.
TEST(Engine, AGroupWhosePromptIsOneTokenIsAnswered) {
  FakeModel model;
  const auto engine = engine_for(model, limits());
  Answers answers;
  std::vector<EngineRequest> requests;
  std::vector<SequenceId> ids;
  for (std::uint64_t i = 0; i < 3; ++i) {
    requests.push_back(request(1, 5));
    requests.back().sampling.seed = i;
    requests.back().group = 1;
    requests.back().trace = Trace::yes;
    ids.push_back(*engine->add(requests.back()));
  }
  answers.run(*engine);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(answers.tokens[ids[i]], expected_answer(requests[i], 512));
    expect_routes(answers.routes[ids[i]], requests[i], answers.tokens[ids[i]]);
  }
}

// The number alone is no promise that prompts are equal.
TEST(Engine, AGroupOfDifferentPromptsIsAnsweredAsTheySay) {
  FakeModel model;
  const auto engine = engine_for(model, limits());
  Answers answers;
  std::vector<EngineRequest> requests{request(50, 1), request(50, 2)};
  std::vector<SequenceId> ids;
  for (EngineRequest& r : requests) {
    r.group = 1;
    ids.push_back(*engine->add(r));
  }
  answers.run(*engine);
  for (std::size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(answers.tokens[ids[i]], expected_answer(requests[i], 512));
}

TEST(Engine, RoutesOfEveryComputedTokenAreExportedInOrder) {
  FakeModel model;
  const auto engine = engine_for(model, limits(3, 70, 8, 300));  // cut into chunks
  Answers answers;
  auto plain = request(90, 20, 60), exported = plain;
  exported.trace = Trace::yes;
  answers.run((static_cast<void>(*engine->add(plain)), *engine));  // its pages are known now, and must not be taken
  const SequenceId id = *engine->add(exported);
  static_cast<void>(*engine->add(request(60, 21, 60)));
  static_cast<void>(*engine->add(request(60, 22, 60)));
  answers.run(*engine);
  expect_routes(answers.routes[id], exported, answers.tokens[id]);
}

// What a computation looks like must not depend on the batch: chunks end at multiples of 64 or at the prompt's end.
TEST(Engine, ExactArithmeticCutsPromptsAtFixedPositions) {
  FakeModel model(Arithmetic::exact);
  const auto engine = engine_for(model, limits(6, 150, 9, 300));
  std::map<std::pair<int, int>, int> shapes;
  model.on_forward = [&](const ForwardBatch& batch) {
    for (const Segment& s : batch.segments) {
      if (s.rows == 1) continue;
      EXPECT_EQ(s.first_position % kPageTokens, 0);
      EXPECT_TRUE(s.rows == kPageTokens || s.first_position + s.rows == 150 || s.first_position + s.rows == 80);
    }
  };
  Answers answers;
  for (int i = 0; i < 6; ++i)
    static_cast<void>(*engine->add(request(i % 2 ? 150 : 80, static_cast<std::uint64_t>(i / 2), 100)));
  answers.run(*engine);
  EXPECT_GT(engine->counts().preemptions, 0u);
}

TEST(Engine, NothingIsAllocatedWhileDecoding) {
  FakeModel model;
  const auto engine = engine_for(model, limits(3, 96, 64, 300));
  for (std::uint64_t i = 0; i < 3; ++i) static_cast<void>(*engine->add(request(5, i, 205)));
  for (int i = 0; i < 4; ++i) engine->step();
  const int allocations = allocations_during([&] {
    for (int i = 0; i < 190; ++i) engine->step();  // over the ends of three pages, which are indexed
  });
  EXPECT_EQ(allocations, 0);
}

TEST(Engine, RefusesWhatItCannotAnswer) {
  FakeModel model;
  const auto engine = engine_for(model, limits(2, 96, 8, 100));
  EXPECT_FALSE(engine->add({}).ok());
  EXPECT_EQ(engine->add(request(100, 1)).error().message, "prompt has 100 tokens; the context holds 100");
  auto unknown = request(3, 1);
  unknown.prompt[1] = TokenId{FakeModel::kVocab};
  EXPECT_EQ(engine->add(unknown).error().message, "prompt: expected token ids below 61, found 61");
  EXPECT_TRUE(engine->idle());
}

TEST(Engine, ABrokenModelEndsTheSequenceAndNotTheEngine) {
  class Broken final : public ForwardModel {
   public:
    LatentLayout latent_layout() const override { return {1, 64}; }
    int vocab_size() const override { return 4; }
    RouteShape route_shape() const override { return {}; }
    const Compute& compute() const override { return compute_; }
    void reserve(int, int) override {}
    void forward(const ForwardBatch&, const LatentStore&, std::span<float> logits, RouteLog*) override {
      std::fill(logits.begin(), logits.end(), std::numeric_limits<float>::quiet_NaN());
    }

   private:
    ThreadPool pool_{1};
    Compute compute_ = make_compute(pool_, Arithmetic::fast);
  } model;
  const auto engine = *Engine::create(model, limits());
  static_cast<void>(*engine->add({.prompt = {TokenId{1}}, .sampling = {}, .max_tokens = 5, .stop_tokens = {}}));
  const auto outputs = engine->step();
  ASSERT_EQ(outputs.size(), 1u);
  EXPECT_EQ(outputs[0].finish, Finish::failed);
  EXPECT_TRUE(engine->idle());
  expect_no_page_held(*engine);
}

}  // namespace
}  // namespace hadal
