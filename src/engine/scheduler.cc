#include "engine/scheduler.h"

#include <algorithm>

#include "base/check.h"

namespace hadal {

Scheduler::Scheduler(const EngineLimits& limits, ChunkRule rule, LatentCache& cache, PrefixIndex& index)
    : limits_(limits), rule_(rule), cache_(cache), index_(index) {
  HADAL_CHECK(limits_.max_sequences > 0 && limits_.pages >= pages_for(limits_.context_tokens));
  limits_.batch_tokens = std::max(limits_.batch_tokens, limits_.max_sequences + kPageTokens);
  const auto sequences = static_cast<std::size_t>(limits_.max_sequences);
  running_.reserve(sequences);
  plan_.sequences.reserve(sequences);
  plan_.segments.reserve(sequences);
  plan_.logit_rows.reserve(sequences);
  plan_.sampled.reserve(sequences);
  plan_.tokens.reserve(static_cast<std::size_t>(limits_.batch_tokens));
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  waiting_.push_back(std::move(sequence));
}

const BatchPlan& Scheduler::schedule() {
  rows_left_ = limits_.batch_tokens;
  preempted_ = false;
  for (auto& sequence : running_) sequence->planned_rows = 0;
  plan_decodes();
  admit();
  plan_prompts();
  build_batch();
  return plan_;
}

// By index: plan() may take sequences off the end of running_.
void Scheduler::plan_decodes() {
  for (std::size_t i = 0; i < running_.size(); ++i)
    if (running_[i]->decoding() && running_[i]->planned_rows == 0) plan(*running_[i], 1);
}

void Scheduler::admit() {
  while (!preempted_ && !waiting_.empty() && running() < limits_.max_sequences) {
    if (!try_admit(*waiting_.front())) return;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

// Only when its whole prompt has room beside what running sequences are promised, and one page more for each of them:
// an admission that is taken back at once would compute for nothing.
bool Scheduler::try_admit(Sequence& sequence) {
  // The last token is always computed: its logits are wanted. In exact arithmetic what was drawn is computed as it was
  // the first time, so only prompt pages are looked for; with a trace what another one has traced.
  const int tokens = static_cast<int>(sequence.tokens.size()), prompt = std::min(tokens - 1, sequence.prompt_tokens);
  const bool traced = sequence.request.trace == Trace::yes;
  const int most = rule_ == ChunkRule::page_aligned || traced ? prompt : tokens - 1;
  const Sequence* peer = same_prompt(sequence);
  if (peer && peer->computed < prompt) return false;  // in a step or two
  PrefixIndex::Match match{.last = PrefixIndex::beginning_of(sequence.request.holder)};
  if (!traced || peer)
    match = index_.match(match.last, std::span(sequence.tokens).first(static_cast<std::size_t>(most)), sequence.pages);

  const int wanted = pages_for(tokens + 1) - static_cast<int>(sequence.pages.size());
  const int available = cache_.free_pages() + cache_.reusable_pages() - pages_promised();
  if (!running_.empty() && wanted + running() > available) {
    release_pages(sequence);
    return false;
  }
  sequence.computed = match.tokens;
  if (peer && rule_ == ChunkRule::as_fits && match.tokens < prompt && prompt - match.tokens < kPageTokens) {
    if (const auto page = take_page()) {
      cache_.copy_rows(peer->pages[sequence.pages.size()], *page, prompt - match.tokens);
      sequence.pages.push_back(*page);
      sequence.computed = prompt;
    }
  }
  if (traced && sequence.computed > 0) {  // of the peer's: nothing else is found for a trace
    const std::size_t per_token = peer->routes.size() / static_cast<std::size_t>(peer->computed);
    const auto routes = std::span(peer->routes).first(static_cast<std::size_t>(sequence.computed) * per_token);
    sequence.routes.assign(routes.begin(), routes.end());
  }
  sequence.indexed_pages = match.tokens / kPageTokens;
  sequence.last_entry = match.last;
  if (!sequence.admitted_before) {
    sequence.admitted_before = true;
    sequence.cached_prompt_tokens = sequence.computed;
    sequence.times.admitted = SteadyClock::now();
  }
  return true;
}

// A running sequence of its group, whose prompt it need not compute again; null: none.
const Sequence* Scheduler::same_prompt(const Sequence& sequence) const {
  if (sequence.request.group == 0) return nullptr;
  for (const auto& s : running_)
    if (s->request.group == sequence.request.group && s->request.holder == sequence.request.holder &&
        s->request.trace == sequence.request.trace && s->request.prompt == sequence.request.prompt)
      return s.get();
  return nullptr;
}

// Forgets unheld prefixes if need be; none: all pages are held.
std::optional<PageId> Scheduler::take_page() {
  std::optional<PageId> page = cache_.acquire();
  while (!page && index_.evict_one()) page = cache_.acquire();
  return page;
}

// What running prompts will still take.
int Scheduler::pages_promised() const {
  int pages = 0;
  for (const auto& s : running_)
    pages += std::max(0, pages_for(static_cast<int>(s->tokens.size()) + 1) - static_cast<int>(s->pages.size()));
  return pages;
}

void Scheduler::plan_prompts() {
  int prompts = 0;
  for (const auto& s : running_) prompts += s->planned_rows == 0;
  for (std::size_t i = 0; i < running_.size() && rows_left_ > 0; ++i) {
    Sequence& sequence = *running_[i];
    if (sequence.planned_rows > 0) continue;
    const int share = std::max(1, rows_left_ / std::max(1, prompts--));
    const int rows = chunk_rows(sequence, share);
    if (rows > 0) plan(sequence, rows);
  }
}

// `most`: this sequence's share. 0: not in this step.
int Scheduler::chunk_rows(const Sequence& sequence, int most) const {
  if (rule_ == ChunkRule::as_fits) return std::min(sequence.waiting_tokens(), most);
  if (sequence.computed >= sequence.prompt_tokens) return 1;
  const int boundary = (sequence.computed / kPageTokens + 1) * kPageTokens;
  const int rows = std::min(boundary, sequence.prompt_tokens) - sequence.computed;
  return rows <= rows_left_ ? rows : 0;
}

// Takes the pages of `rows` more rows, making room if need be. false: it was the youngest itself, and waits now.
bool Scheduler::plan(Sequence& sequence, int rows) {
  const int wanted = pages_for(sequence.computed + rows);
  while (static_cast<int>(sequence.pages.size()) < wanted) {
    if (const auto page = take_page()) {
      sequence.pages.push_back(*page);
    } else {
      const bool itself = running_.back().get() == &sequence;
      preempt_youngest();
      if (itself) return false;
    }
  }
  sequence.planned_rows = rows;
  rows_left_ -= rows;
  return true;
}

void Scheduler::preempt_youngest() {
  HADAL_CHECK(running_.size() > 1);                 // one alone always fits: limits_.pages holds a whole context
  waiting_.push_front(std::move(running_.back()));  // first, as there may be no memory for it
  running_.pop_back();
  Sequence& youngest = *waiting_.front();
  release_pages(youngest);
  rows_left_ += youngest.planned_rows;
  youngest.planned_rows = 0;
  youngest.routes.clear();
  preempted_ = true;
  ++preemptions_;
}

void Scheduler::release_pages(Sequence& sequence) {
  for (const PageId page : sequence.pages) cache_.release(page);
  sequence.pages.clear();
  sequence.computed = 0;
  sequence.indexed_pages = 0;
  sequence.last_entry = PrefixIndex::EntryId::none;
}

void Scheduler::build_batch() {
  plan_.sequences.clear();
  plan_.segments.clear();
  plan_.tokens.clear();
  plan_.logit_rows.clear();
  plan_.sampled.clear();
  for (const auto& owner : running_) {
    Sequence& s = *owner;
    if (s.planned_rows == 0) continue;
    const int first_row = static_cast<int>(plan_.tokens.size());
    plan_.sequences.push_back(&s);
    plan_.segments.push_back({first_row, s.planned_rows, s.computed, s.pages});
    const auto first = s.tokens.begin() + s.computed;
    plan_.tokens.insert(plan_.tokens.end(), first, first + s.planned_rows);
    if (!s.reaches_end()) continue;
    plan_.logit_rows.push_back(first_row + s.planned_rows - 1);
    plan_.sampled.push_back(&s);
  }
}

std::unique_ptr<Sequence> Scheduler::remove(SequenceId id) {
  const auto take = [&](auto& from) -> std::unique_ptr<Sequence> {
    const auto it = std::find_if(from.begin(), from.end(), [&](const auto& s) { return s->id == id; });
    if (it == from.end()) return nullptr;
    std::unique_ptr<Sequence> sequence = std::move(*it);
    from.erase(it);
    release_pages(*sequence);
    return sequence;
  };
  if (auto sequence = take(running_)) return sequence;
  return take(waiting_);
}

}  // namespace hadal
