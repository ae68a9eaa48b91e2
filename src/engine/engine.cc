#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace hadal {

Result<std::unique_ptr<Engine>> Engine::create(ForwardModel& model, const EngineLimits& limits) {
  HADAL_ASSIGN(LatentCache cache, LatentCache::create(model.latent_layout(), limits.pages));
  return std::unique_ptr<Engine>(new Engine(model, limits, std::move(cache)));
}

Engine::Engine(ForwardModel& model, const EngineLimits& limits, LatentCache cache)
    : model_(model),
      limits_(limits),
      cache_(std::move(cache)),
      prefixes_(cache_),
      scheduler_(limits, model.compute().arithmetic == Arithmetic::exact ? ChunkRule::page_aligned : ChunkRule::as_fits,
                 cache_, prefixes_),
      exact_(model.compute().arithmetic == Arithmetic::exact) {
  const Compute& compute = model.compute();
  const int threads = compute.pool->threads();
  samplers_.reserve(static_cast<std::size_t>(threads));
  for (int i = 0; i < threads; ++i) samplers_.emplace_back(*compute.kernels, model.vocab_size());
  const auto sequences = static_cast<std::size_t>(limits.max_sequences);
  const int rows = std::max(limits.batch_tokens, limits.max_sequences + kPageTokens);
  model_.reserve(rows, limits.max_sequences);
  logits_RV_.resize(sequences * static_cast<std::size_t>(model.vocab_size()));
  routes_.experts.reserve(static_cast<std::size_t>(rows) * static_cast<std::size_t>(model.route_shape().per_token()));
  drawn_.reserve(sequences);
  outputs_.reserve(sequences);
  finished_.reserve(sequences);
}

Result<SequenceId> Engine::add(EngineRequest request) {
  const int prompt = static_cast<int>(request.prompt.size());
  if (prompt == 0) return Error{ErrorKind::invalid, "prompt: expected at least one token, found none"};
  if (prompt >= limits_.context_tokens)
    return Error{ErrorKind::invalid,
                 fmt::format("prompt has {} tokens; the context holds {}", prompt, limits_.context_tokens)};
  for (const TokenId token : request.prompt)
    if (index(token) < 0 || index(token) >= model_.vocab_size())
      return Error{ErrorKind::invalid,
                   fmt::format("prompt: expected token ids below {}, found {}", model_.vocab_size(), index(token))};
  auto sequence = std::make_unique<Sequence>();
  sequence->id = SequenceId{next_id_++};
  sequence->prompt_tokens = prompt;
  const int room = limits_.context_tokens - prompt;
  sequence->end_tokens = prompt + (request.max_tokens > 0 ? std::min(request.max_tokens, room) : room);
  sequence->tokens.reserve(static_cast<std::size_t>(sequence->end_tokens));
  sequence->tokens = request.prompt;
  sequence->pages.reserve(static_cast<std::size_t>(pages_for(sequence->end_tokens)));
  if (request.trace == Trace::yes) {
    sequence->routes.reserve(static_cast<std::size_t>(sequence->end_tokens) *
                             static_cast<std::size_t>(model_.route_shape().per_token()));
    sequence->log_probabilities.reserve(static_cast<std::size_t>(sequence->end_tokens - prompt));
    sequence->kept_ends.reserve(static_cast<std::size_t>(sequence->end_tokens - prompt));
  }
  sequence->times.submitted = SteadyClock::now();
  sequence->request = std::move(request);
  const SequenceId id = sequence->id;
  scheduler_.add(std::move(sequence));
  totals_.prompt_tokens += static_cast<std::uint64_t>(prompt);
  return id;
}

std::optional<SequenceTimes> Engine::abort(SequenceId id) {
  const auto sequence = scheduler_.remove(id);
  if (!sequence) return std::nullopt;
  return sequence->times;
}

std::span<const StepOutput> Engine::step() {
  outputs_.clear();
  finished_.clear();
  const BatchPlan& plan = scheduler_.schedule();
  if (plan.empty()) return {};
  model_.forward(plan.batch(), cache_.store(), logits_RV_, &routes_);
  sample(plan);
  commit(plan);
  return outputs_;
}

void Engine::sample(const BatchPlan& plan) {
  const auto vocab = static_cast<std::size_t>(model_.vocab_size());
  drawn_.resize(plan.sampled.size());
  model_.compute().pool->parallel_for(static_cast<int>(plan.sampled.size()), [&](int i, int thread) {
    const auto row = static_cast<std::size_t>(i);
    Sampler& sampler = samplers_[static_cast<std::size_t>(thread)];
    Sequence& s = *plan.sampled[row];
    drawn_[row] =
        sampler.sample(std::span(logits_RV_).subspan(row * vocab, vocab), s.request.sampling, s.tokens.size());
    if (s.request.trace == Trace::yes && drawn_[row]) trace_draw(s, sampler);
  });
}

// What is there of a token that was never committed, because a step ran out of memory, is written over.
void Engine::trace_draw(Sequence& s, const Sampler& sampler) {
  const std::size_t before = s.tokens.size() - static_cast<std::size_t>(s.prompt_tokens);
  s.log_probabilities.resize(before);
  s.kept_ends.resize(before);
  s.kept.resize(before == 0 ? 0 : s.kept_ends.back());
  for (const Sampler::Candidate& c : sampler.drawn_from()) s.kept.push_back(TokenId{c.id});
  s.kept_ends.push_back(s.kept.size());
  s.log_probabilities.push_back(static_cast<float>(sampler.log_probability()));
}

// Allocates nothing: half of a commit could not be taken back.
void Engine::commit(const BatchPlan& plan) {
  record_routes(plan);
  for (Sequence* s : plan.sequences) {
    s->computed += s->planned_rows;
    s->planned_rows = 0;
    index_full_pages(*s);
  }
  const auto now = SteadyClock::now();
  for (std::size_t row = 0; row < plan.sampled.size(); ++row) {
    Sequence& s = *plan.sampled[row];
    StepOutput output{.id = s.id, .token = drawn_[row].value_or(TokenId{-1}), .finish = Finish::failed, .sequence = &s};
    if (drawn_[row]) {
      if (static_cast<int>(s.tokens.size()) == s.prompt_tokens) {
        s.times.first_token = now;
        totals_.cached_prompt_tokens += static_cast<std::uint64_t>(s.cached_prompt_tokens);
      }
      s.tokens.push_back(*drawn_[row]);
      ++totals_.generated_tokens;
      output.finish = finish_of(s);
    }
    if (output.finish != Finish::none) {
      s.times.finished = now;
      finished_.push_back(scheduler_.remove(s.id));
    }
    outputs_.push_back(output);
  }
}

// The log is [moe layers, T, K]; a sequence keeps [tokens, moe layers, K].
void Engine::record_routes(const BatchPlan& plan) {
  const RouteShape shape = model_.route_shape();
  const std::size_t rows = plan.tokens.size(), chosen = static_cast<std::size_t>(shape.chosen);
  for (std::size_t i = 0; i < plan.sequences.size(); ++i) {
    Sequence& s = *plan.sequences[i];
    if (s.request.trace == Trace::no) continue;
    const Segment& segment = plan.segments[i];
    for (int r = segment.first_row; r < segment.first_row + segment.rows; ++r)
      for (int layer = 0; layer < shape.moe_layers; ++layer) {
        const auto at = (static_cast<std::size_t>(layer) * rows + static_cast<std::size_t>(r)) * chosen;
        const auto from = routes_.experts.begin() + static_cast<std::ptrdiff_t>(at);
        s.routes.insert(s.routes.end(), from, from + shape.chosen);
      }
  }
}

// In exact arithmetic only prompt pages: what was drawn is computed row by row, and another sequence that has the same
// text in its prompt would compute it page by page.
void Engine::index_full_pages(Sequence& s) {
  const int full = (exact_ ? std::min(s.computed, s.prompt_tokens) : s.computed) / kPageTokens;
  while (s.indexed_pages < full) {
    PageId& page = s.pages[static_cast<std::size_t>(s.indexed_pages)];
    const auto tokens =
        std::span(s.tokens).subspan(static_cast<std::size_t>(s.indexed_pages) * kPageTokens, kPageTokens);
    const PrefixIndex::Insertion inserted = prefixes_.insert(s.last_entry, tokens, page);
    page = inserted.page;
    s.last_entry = inserted.entry;
    ++s.indexed_pages;
  }
}

Finish Engine::finish_of(const Sequence& s) const {
  const auto& stops = s.request.stop_tokens;
  if (std::find(stops.begin(), stops.end(), s.tokens.back()) != stops.end()) return Finish::stop;
  return static_cast<int>(s.tokens.size()) >= s.end_tokens ? Finish::length : Finish::none;
}

EngineCounts Engine::counts() const {
  EngineCounts counts = totals_;
  counts.running = scheduler_.running();
  counts.waiting = scheduler_.waiting();
  counts.preemptions = scheduler_.preemptions();
  counts.pages = cache_.pages();
  counts.free_pages = cache_.free_pages();
  counts.held_pages = cache_.held_pages();
  return counts;
}

}  // namespace hadal
