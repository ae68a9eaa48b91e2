// Which full pages hold which beginnings of text, so that equal beginnings are computed once.
//
// A chain of pages: each entry is one full page of 64 tokens and the entry before it.
// It is found by a hash over (the entry before, its tokens), and then the tokens
// themselves are compared, so that no collision, wanted or not, can show one user
// another's text. Entries that no sequence holds are forgotten in the order of their
// last use when room is needed. All memory is taken at the start: the end of a step must not fail (engine.h).
//
// Each holder of a key has beginnings of his own: how soon an answer starts must not tell what others have asked.
//
// Who holds a page holds all pages before it, and a use makes the beginning younger
// than its end: so forgetting the oldest unheld entry never orphans another one.
// Threads: nothing here locks; the engine thread alone calls it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/latent_cache.h"

namespace hadal {

class PrefixIndex {
 public:
  // Negative: the empty beginning of a holder of a key, none that of holder 0.
  enum class EntryId : std::int32_t { none = -1 };
  static constexpr EntryId beginning_of(int holder) { return EntryId{-1 - holder}; }

  explicit PrefixIndex(LatentCache& cache);

  struct Match {
    int tokens = 0;  // a multiple of kPageTokens
    EntryId last = EntryId::none;
  };
  // The longest known beginning of `tokens` below `root`, a beginning_of(); each of its pages gets one more holder and
  // is appended to `pages`.
  Match match(EntryId root, std::span<const TokenId> tokens, std::vector<PageId>& pages);

  // `page` holds `tokens` [kPageTokens] after `parent`; the caller holds it. If the same text is already known in
  // another page, the caller's hold moves to that one. Gives the page the caller holds now, and its entry.
  struct Insertion {
    PageId page;
    EntryId entry;
  };
  Insertion insert(EntryId parent, std::span<const TokenId> tokens, PageId page);

  // Forgets the page that was used longest ago among those nobody holds. false: there is none.
  bool evict_one();
  int size() const noexcept { return static_cast<int>(entries_.size() - unused_.size()); }

 private:
  struct Entry {
    std::uint64_t hash = 0;
    EntryId parent = EntryId::none, older = EntryId::none, newer = EntryId::none;
    EntryId next = EntryId::none;  // in the same bucket
    int children = 0;
    PageId page{0};
    std::array<TokenId, kPageTokens> tokens;
  };
  static constexpr bool is_page(EntryId id) { return index(id) >= 0; }
  Entry& at(EntryId id) { return entries_[static_cast<std::size_t>(index(id))]; }
  std::uint64_t hash_of(EntryId parent, std::span<const TokenId> tokens);
  EntryId& bucket_of(std::uint64_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }
  std::optional<EntryId> find(EntryId parent, std::uint64_t hash, std::span<const TokenId> tokens);
  void take_from_bucket(EntryId id);
  void link_newest(EntryId id);
  void unlink(EntryId id);
  void touch_chain(EntryId last);

  LatentCache& cache_;
  std::vector<Entry> entries_;  // one a page of the cache, all taken at the start
  std::vector<EntryId> unused_;
  std::vector<EntryId> buckets_;  // the first entry of each hash; a power of two of them
  EntryId oldest_ = EntryId::none, newest_ = EntryId::none;
};

}  // namespace hadal
