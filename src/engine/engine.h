// Many sequences, one batch a step: step() = schedule · forward · sample · commit.
//
// The engine knows token ids only. The life of a request:
//   1. add() checks it; it waits
//   2. the scheduler admits it, sharing the pages of a known beginning, and gives its
//      prompt rows in chunks (scheduler.h)
//   3. forward() computes the batch's rows and writes their latents into pages
//   4. the sampler draws one token for each sequence whose end was computed
//   5. commit records tokens, indexes full pages, and takes out what has finished
// The engine allocates nothing in a step but room for what a trace keeps of cut-off sampling, and for the queue that a
// preempted sequence goes back to; the model's workspace grows until it has met its largest batch and furthest position
// (transformer.h). All that comes before commit, which cannot fail.
// Threads: one thread calls everything here.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/forward_model.h"
#include "engine/scheduler.h"

namespace hadal {

struct StepOutput {  // one drawn token; spans and pointers hold until the next call
  SequenceId id;
  TokenId token;  // nothing meaningful when finish is failed
  Finish finish = Finish::none;
  const Sequence* sequence = nullptr;  // its tokens, routes and times
};

struct EngineCounts {
  int running = 0, waiting = 0;
  int pages = 0, free_pages = 0, held_pages = 0;
  std::uint64_t prompt_tokens = 0, cached_prompt_tokens = 0, generated_tokens = 0, preemptions = 0;
};

class Engine {
 public:
  // `model` must outlive the engine. Errors: no memory for the cache.
  static Result<std::unique_ptr<Engine>> create(ForwardModel& model, const EngineLimits& limits);

  // Errors: an empty prompt, an id outside the vocabulary, a prompt that leaves no room for an answer.
  Result<SequenceId> add(EngineRequest request);
  // Takes the sequence out, frees its pages and gives its times. Unknown and finished ids are ignored (none).
  std::optional<SequenceTimes> abort(SequenceId id);
  // Empty: a step without a finished prompt, or nothing to do; see idle(). Throws std::bad_alloc when what a step
  // needs (above) cannot grow; nothing is drawn then, and the engine may go on, with the same sequences or fewer.
  std::span<const StepOutput> step();

  bool idle() const { return scheduler_.running() + scheduler_.waiting() == 0; }
  EngineCounts counts() const;
  const EngineLimits& limits() const { return limits_; }

 private:
  Engine(ForwardModel& model, const EngineLimits& limits, LatentCache cache);
  void sample(const BatchPlan& plan);
  static void trace_draw(Sequence& sequence, const Sampler& sampler);
  void commit(const BatchPlan& plan);
  void record_routes(const BatchPlan& plan);
  void index_full_pages(Sequence& sequence);
  Finish finish_of(const Sequence& sequence) const;

  ForwardModel& model_;
  EngineLimits limits_;
  LatentCache cache_;
  PrefixIndex prefixes_;
  Scheduler scheduler_;
  std::vector<Sampler> samplers_;  // one a thread
  bool exact_;
  std::vector<float> logits_RV_;  // [max_sequences, V]
  RouteLog routes_;
  std::vector<std::optional<TokenId>> drawn_;  // one a logit row
  std::vector<StepOutput> outputs_;
  std::vector<std::unique_ptr<Sequence>> finished_;  // in the last step
  std::uint64_t next_id_ = 1;
  EngineCounts totals_;
};

}  // namespace hadal
