// Equal beginnings are found, unequal ones never; what is held is not forgotten.
#include "engine/prefix_index.h"

#include <gtest/gtest.h>

#include "fake_model.h"

namespace hadal {
namespace {

using EntryId = PrefixIndex::EntryId;

struct Fixture {
  explicit Fixture(int pages) : cache(*LatentCache::create({.layers = 1, .row_bytes = 64}, pages)), index(cache) {}

  // What a sequence that computed `tokens` leaves behind; it holds the pages that are returned.
  std::vector<PageId> learn(const std::vector<TokenId>& tokens, EntryId last = EntryId::none) {
    std::vector<PageId> pages;
    for (std::size_t at = 0; at + kPageTokens <= tokens.size(); at += kPageTokens) {
      const auto inserted = index.insert(last, std::span(tokens).subspan(at, kPageTokens), *cache.acquire());
      pages.push_back(inserted.page);
      last = inserted.entry;
    }
    return pages;
  }
  void release(const std::vector<PageId>& pages) {
    for (const PageId page : pages) cache.release(page);
  }

  LatentCache cache;
  PrefixIndex index;
};

TEST(PrefixIndex, FindsTheLongestKnownBeginningInFullPages) {
  Fixture f(8);
  const auto text = some_tokens(3 * kPageTokens, 1);
  const auto held = f.learn(text);
  auto longer = text;
  longer.push_back(TokenId{3});
  std::vector<PageId> pages;
  EXPECT_EQ(f.index.match(EntryId::none, longer, pages).tokens, 3 * kPageTokens);
  EXPECT_EQ(pages, held);
  EXPECT_EQ(f.cache.holders(held[0]), 2);

  longer[2 * kPageTokens] = TokenId{index(longer[2 * kPageTokens]) ^ 1};
  pages.clear();
  EXPECT_EQ(f.index.match(EntryId::none, longer, pages).tokens, 2 * kPageTokens);

  pages.clear();
  EXPECT_EQ(f.index.match(EntryId::none, std::span(text).first(kPageTokens - 1), pages).tokens,
            0);  // a part of a page is never shared
  EXPECT_TRUE(pages.empty());
}

TEST(PrefixIndex, HoldersOfDifferentKeysDoNotFindEachOthersText) {
  Fixture f(8);
  const auto text = some_tokens(2 * kPageTokens, 1);
  const EntryId one = PrefixIndex::beginning_of(1), two = PrefixIndex::beginning_of(2);
  const auto held = f.learn(text, one);
  std::vector<PageId> pages;
  EXPECT_EQ(f.index.match(two, text, pages).tokens, 0);
  EXPECT_EQ(f.index.match(EntryId::none, text, pages).tokens, 0);
  EXPECT_TRUE(pages.empty());
  const auto others = f.learn(text, two);
  EXPECT_NE(others, held);
  EXPECT_EQ(f.index.match(two, text, pages).tokens, 2 * kPageTokens);
  EXPECT_EQ(pages, others);
  f.release(pages);
  f.release(held);
  f.release(others);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(f.index.evict_one());  // each is forgotten, the end before the beginning
  EXPECT_FALSE(f.index.evict_one());
}

TEST(PrefixIndex, TheSamePageAfterAnotherBeginningIsAnotherEntry) {
  Fixture f(8);
  const auto a = some_tokens(kPageTokens, 1), b = some_tokens(kPageTokens, 2), tail = some_tokens(kPageTokens, 3);
  auto first = a, second = b;
  first.insert(first.end(), tail.begin(), tail.end());
  second.insert(second.end(), tail.begin(), tail.end());
  const auto held_first = f.learn(first), held_second = f.learn(second);
  EXPECT_NE(held_first[1], held_second[1]);
  std::vector<PageId> pages;
  f.index.match(EntryId::none, second, pages);
  EXPECT_EQ(pages, held_second);
  pages.clear();
  EXPECT_EQ(f.index.match(EntryId::none, tail, pages).tokens, 0);
}

TEST(PrefixIndex, TextComputedTwiceAtOnceIsKeptOnce) {
  Fixture f(4);
  const auto text = some_tokens(2 * kPageTokens, 4);
  const auto first = f.learn(text), second = f.learn(text);
  EXPECT_EQ(first, second);
  EXPECT_EQ(f.cache.free_pages(), 2);
  EXPECT_EQ(f.cache.holders(first[0]), 2);
}

TEST(PrefixIndex, ForgetsTheLongestUnusedFirstAndChildrenBeforeParents) {
  Fixture f(6);
  const auto a = some_tokens(2 * kPageTokens, 5), b = some_tokens(2 * kPageTokens, 6);
  f.release(f.learn(a));
  f.release(f.learn(b));
  std::vector<PageId> pages;
  f.index.match(EntryId::none, a, pages);  // a is younger now
  f.release(pages);
  const auto known = [&](const std::vector<TokenId>& tokens) {
    std::vector<PageId> found;
    const int count = f.index.match(EntryId::none, tokens, found).tokens / kPageTokens;
    f.release(found);
    return count;
  };
  ASSERT_TRUE(f.index.evict_one());
  EXPECT_EQ(f.cache.free_pages(), 3);
  EXPECT_EQ(known(b), 1);  // its end went, its beginning stayed
  EXPECT_EQ(known(a), 2);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(f.index.evict_one());
  EXPECT_FALSE(f.index.evict_one());
  EXPECT_EQ(f.cache.free_pages(), 6);
  EXPECT_EQ(f.index.size(), 0);
}

TEST(PrefixIndex, AmongManyEachIsFoundUntilItIsForgotten) {
  constexpr int kPages = 64;
  Fixture f(kPages);
  const auto text = [](int i) { return some_tokens(kPageTokens, static_cast<std::uint64_t>(i)); };
  for (int i = 0; i < kPages; ++i) f.release(f.learn(text(i)));
  for (int forgotten = 0; forgotten < kPages; ++forgotten) {
    EXPECT_EQ(f.index.size(), kPages - forgotten);
    for (int i = 0; i < kPages; ++i) {
      std::vector<PageId> pages;
      EXPECT_EQ(f.index.match(EntryId::none, text(i), pages).tokens, i < forgotten ? 0 : kPageTokens);
      f.release(pages);
    }
    ASSERT_TRUE(f.index.evict_one());
  }
  EXPECT_EQ(f.index.size(), 0);
}

TEST(PrefixIndex, NeverForgetsWhatIsHeld) {
  Fixture f(4);
  const auto held = f.learn(some_tokens(2 * kPageTokens, 7));
  EXPECT_FALSE(f.index.evict_one());
  f.release({held[1]});
  EXPECT_TRUE(f.index.evict_one());
  EXPECT_FALSE(f.index.evict_one());
}

}  // namespace
}  // namespace hadal
