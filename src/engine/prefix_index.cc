#include "engine/prefix_index.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"

namespace hadal {

PrefixIndex::PrefixIndex(LatentCache& cache)
    : cache_(cache),
      entries_(static_cast<std::size_t>(cache.pages())),
      buckets_(std::bit_ceil(entries_.size()), EntryId::none) {
  unused_.reserve(entries_.size());
  for (int i = cache.pages(); i-- > 0;) unused_.push_back(EntryId{i});
}

PrefixIndex::Match PrefixIndex::match(EntryId root, std::span<const TokenId> tokens, std::vector<PageId>& pages) {
  Match match{.last = root};
  while (static_cast<int>(tokens.size()) - match.tokens >= kPageTokens) {
    const auto page_tokens = tokens.subspan(static_cast<std::size_t>(match.tokens), kPageTokens);
    const auto entry = find(match.last, hash_of(match.last, page_tokens), page_tokens);
    if (!entry) break;
    match.last = *entry;
    match.tokens += kPageTokens;
    cache_.share(at(*entry).page);
    pages.push_back(at(*entry).page);
  }
  touch_chain(match.last);
  return match;
}

PrefixIndex::Insertion PrefixIndex::insert(EntryId parent, std::span<const TokenId> tokens, PageId page) {
  HADAL_CHECK(tokens.size() == kPageTokens);
  const std::uint64_t hash = hash_of(parent, tokens);
  if (const auto known = find(parent, hash, tokens)) {
    const PageId other = at(*known).page;
    HADAL_CHECK(other != page);
    cache_.share(other);
    cache_.release(page);
    touch_chain(*known);
    return {other, *known};
  }
  HADAL_CHECK(!unused_.empty());  // one a page, and this page has none yet
  const EntryId id = unused_.back();
  unused_.pop_back();
  Entry& entry = at(id);
  entry.hash = hash;
  entry.parent = parent;
  entry.children = 0;
  entry.page = page;
  std::copy(tokens.begin(), tokens.end(), entry.tokens.begin());
  if (is_page(parent)) ++at(parent).children;
  entry.next = std::exchange(bucket_of(hash), id);
  cache_.keep(page);
  link_newest(id);
  touch_chain(id);
  return {page, id};
}

// Walking past held pages costs a step each, up to all pages; it is only asked for when none is free.
bool PrefixIndex::evict_one() {
  for (EntryId id = oldest_; id != EntryId::none; id = at(id).newer) {
    Entry& entry = at(id);
    if (cache_.holders(entry.page) > 0) continue;
    HADAL_CHECK(entry.children == 0);
    if (is_page(entry.parent)) --at(entry.parent).children;
    take_from_bucket(id);
    unlink(id);
    cache_.drop(entry.page);
    unused_.push_back(id);
    return true;
  }
  return false;
}

std::uint64_t PrefixIndex::hash_of(EntryId parent, std::span<const TokenId> tokens) {
  const std::uint64_t seed = is_page(parent) ? at(parent).hash : static_cast<std::uint64_t>(-1 - index(parent));
  return XXH3_64bits_withSeed(tokens.data(), tokens.size_bytes(), seed);
}

std::optional<PrefixIndex::EntryId> PrefixIndex::find(EntryId parent, std::uint64_t hash,
                                                      std::span<const TokenId> tokens) {
  for (EntryId id = bucket_of(hash); id != EntryId::none; id = at(id).next) {
    const Entry& entry = at(id);
    // The parent is compared too, by induction the whole beginning.
    if (entry.hash == hash && entry.parent == parent && std::equal(tokens.begin(), tokens.end(), entry.tokens.begin()))
      return id;
  }
  return std::nullopt;
}

void PrefixIndex::take_from_bucket(EntryId id) {
  EntryId* link = &bucket_of(at(id).hash);
  while (*link != id) link = &at(*link).next;
  *link = at(id).next;
}

// From the end to the beginning: a parent is always newer than its children, so the oldest has none.
void PrefixIndex::touch_chain(EntryId last) {
  for (EntryId id = last; is_page(id); id = at(id).parent) {
    unlink(id);
    link_newest(id);
  }
}

void PrefixIndex::link_newest(EntryId id) {
  Entry& entry = at(id);
  entry.older = newest_;
  entry.newer = EntryId::none;
  if (newest_ != EntryId::none) at(newest_).newer = id;
  newest_ = id;
  if (oldest_ == EntryId::none) oldest_ = id;
}

void PrefixIndex::unlink(EntryId id) {
  Entry& entry = at(id);
  if (entry.older != EntryId::none) at(entry.older).newer = entry.newer;
  if (entry.newer != EntryId::none) at(entry.newer).older = entry.older;
  if (oldest_ == id) oldest_ = entry.newer;
  if (newest_ == id) newest_ = entry.older;
}

}  // namespace hadal
