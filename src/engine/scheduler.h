// Which rows are computed in the next step.
//
// Running sequences that need one row (decode) come first, so that a long prompt
// never makes an answer stutter; what is left of the batch is shared equally by the
// prompts, in order of arrival. Waiting sequences are admitted in order while pages
// last. When pages run out, unheld prefixes are forgotten first; then the youngest
// running sequence gives up its pages and waits at the front, to be recomputed later.
// The oldest always gets through.
//
// The prompt of a group is computed by its first sequence; the others take its latents over, what is in full pages as
// every known beginning, the rest as a copy.
//
// In exact arithmetic a prompt is cut at multiples of 64 positions and what was drawn
// is recomputed token by token: the shape of every computation then depends on the
// sequence alone, and neither the batch nor preemption changes a bit.
// Threads: the engine thread alone.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "engine/latent_cache.h"
#include "engine/sequence.h"

namespace hadal {

struct EngineLimits {
  int max_sequences = 64;  // running at once
  int batch_tokens = 512;  // rows of one step; raised to max_sequences + one page if smaller
  int context_tokens = 0;  // of one sequence, prompt and answer
  int pages = 0;           // of the cache; at least those of one context
};

enum class ChunkRule { as_fits, page_aligned };  // page_aligned: exact arithmetic

// The batch of a step. The arrays have their full size from the start.
struct BatchPlan {
  std::vector<Sequence*> sequences;  // one a segment
  std::vector<Segment> segments;
  std::vector<TokenId> tokens;
  std::vector<int> logit_rows;
  std::vector<Sequence*> sampled;  // one a logit row

  bool empty() const { return sequences.empty(); }
  ForwardBatch batch() const { return {tokens, segments, logit_rows}; }
};

class Scheduler {
 public:
  Scheduler(const EngineLimits& limits, ChunkRule rule, LatentCache& cache, PrefixIndex& index);

  void add(std::unique_ptr<Sequence> sequence);
  const BatchPlan& schedule();
  // Takes it out, wherever it is, with its pages given back; null: unknown.
  std::unique_ptr<Sequence> remove(SequenceId id);

  int running() const noexcept { return static_cast<int>(running_.size()); }
  int waiting() const noexcept { return static_cast<int>(waiting_.size()); }
  std::uint64_t preemptions() const noexcept { return preemptions_; }

 private:
  void plan_decodes();
  void admit();
  bool try_admit(Sequence& sequence);
  const Sequence* same_prompt(const Sequence& sequence) const;
  std::optional<PageId> take_page();
  void plan_prompts();
  int chunk_rows(const Sequence& sequence, int most) const;
  bool plan(Sequence& sequence, int rows);
  void preempt_youngest();
  void release_pages(Sequence& sequence);
  int pages_promised() const;
  void build_batch();

  EngineLimits limits_;
  ChunkRule rule_;
  LatentCache& cache_;
  PrefixIndex& index_;
  std::vector<std::unique_ptr<Sequence>> running_;  // oldest first
  std::deque<std::unique_ptr<Sequence>> waiting_;   // oldest first; all younger than the running ones
  BatchPlan plan_;
  int rows_left_ = 0;
  bool preempted_ = false;  // in this step: then nothing new is admitted
  std::uint64_t preemptions_ = 0;
};

}  // namespace hadal
