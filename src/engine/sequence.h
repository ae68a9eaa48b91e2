// One request inside the engine: its tokens, its pages, how far it has come. Plain data.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "engine/prefix_index.h"
#include "engine/sampler.h"

namespace hadal {

// What a trainer needs to repeat a sequence as it was made: the experts of every token, and how likely each drawn one
// was. Then nothing is taken from the prefix index but by those of a group, who take the experts with it.
enum class Trace { no, yes };

struct EngineRequest {
  std::vector<TokenId> prompt;
  SamplingParams sampling;
  int max_tokens = 0;                // 0: as many as the context holds
  std::vector<TokenId> stop_tokens;  // the first of them that is drawn ends the answer, and is its last token
  Trace trace = Trace::no;
  int group = 0;   // not 0: others of this group have the same prompt, which is computed once while one of them runs
  int holder = 0;  // of a key; beginnings that another one has computed are not used
};

enum class Finish { none, stop, length, failed };  // failed: no logit was a number

struct SequenceTimes {  // the epoch: not yet
  SteadyClock::time_point submitted, admitted, first_token, finished;
};

struct Sequence {
  SequenceId id;
  EngineRequest request;
  int prompt_tokens = 0;
  int end_tokens = 0;           // it has finished when it holds so many
  std::vector<TokenId> tokens;  // prompt, then what was drawn; all its room is taken at the start

  std::vector<PageId> pages;  // of positions [0, computed) and of the rows that are planned
  int computed = 0;           // positions whose latents are cached
  int planned_rows = 0;       // of them in this step's batch
  int indexed_pages = 0;      // leading pages that the prefix index knows
  PrefixIndex::EntryId last_entry = PrefixIndex::EntryId::none;

  int cached_prompt_tokens = 0;  // not computed but found, when it was first admitted
  bool admitted_before = false;
  // With a trace.
  std::vector<ExpertId> routes;          // [computed, moe layers, K]
  std::vector<float> log_probabilities;  // [drawn] of each token among what it was drawn from
  std::vector<TokenId> kept;           // what the drawn tokens were drawn from where that was not everything, one after
  std::vector<std::size_t> kept_ends;  // [drawn] another: those of token i end at kept_ends[i]
  SequenceTimes times;

  int waiting_tokens() const { return static_cast<int>(tokens.size()) - computed; }
  bool decoding() const { return waiting_tokens() == 1; }
  bool reaches_end() const { return computed + planned_rows == static_cast<int>(tokens.size()); }
};

}  // namespace hadal
