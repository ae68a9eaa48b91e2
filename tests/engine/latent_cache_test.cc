// Pages and their holders: a page is free, held or kept, and never two of these.
#include "engine/latent_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

namespace hadal {
namespace {

constexpr LatentLayout kLayout{.layers = 3, .row_bytes = 128};

LatentCache small_cache(int pages) {
  return *LatentCache::create(kLayout, pages);
}

TEST(LatentCache, GivesEachPageOnceAndThenNone) {
  LatentCache cache = small_cache(5);
  std::set<PageId> pages;
  for (int i = 0; i < 5; ++i) pages.insert(*cache.acquire());
  EXPECT_EQ(pages.size(), 5u);
  EXPECT_FALSE(cache.acquire());
  EXPECT_EQ(cache.held_pages(), 5);
}

TEST(LatentCache, SharedPageIsFreedByItsLastHolder) {
  LatentCache cache = small_cache(2);
  const PageId page = *cache.acquire();
  cache.share(page);
  cache.release(page);
  EXPECT_EQ(cache.free_pages(), 1);
  cache.release(page);
  EXPECT_EQ(cache.free_pages(), 2);
  EXPECT_EQ(cache.held_pages(), 0);
}

TEST(LatentCache, KeptPageOutlivesItsHoldersUntilItIsDropped) {
  LatentCache cache = small_cache(2);
  const PageId page = *cache.acquire();
  cache.keep(page);
  cache.release(page);
  EXPECT_EQ(cache.free_pages(), 1);
  EXPECT_EQ(cache.reusable_pages(), 1);
  EXPECT_EQ(cache.held_pages(), 0);
  cache.share(page);  // found again
  EXPECT_EQ(cache.reusable_pages(), 0);
  cache.drop(page);  // forgotten while held: nothing happens to the holder
  EXPECT_EQ(cache.free_pages(), 1);
  cache.release(page);
  EXPECT_EQ(cache.free_pages(), 2);
}

TEST(LatentCache, RowsOfDifferentLayersPagesAndSlotsNeverOverlap) {
  LatentCache cache = small_cache(4);
  const LatentStore& store = cache.store();
  const auto row = [&](int layer, int page, int slot) {
    return store.data + static_cast<std::size_t>(layer) * store.layer_stride_bytes +
           static_cast<std::size_t>(page) * store.page_stride_bytes + static_cast<std::size_t>(slot) * store.row_bytes;
  };
  int value = 0;
  for (int pass = 0; pass < 2; ++pass) {
    value = 0;
    for (int layer = 0; layer < kLayout.layers; ++layer)
      for (int page = 0; page < 4; ++page)
        for (int slot = 0; slot < kPageTokens; ++slot, ++value) {
          EXPECT_EQ(reinterpret_cast<std::uintptr_t>(row(layer, page, slot)) % 64, 0u);
          int found = value;
          if (pass == 1)
            std::memcpy(&found, row(layer, page, slot), sizeof found);
          else
            std::memset(row(layer, page, slot), 0xff, store.row_bytes),
                std::memcpy(row(layer, page, slot), &value, sizeof value);
          ASSERT_EQ(found, value);
        }
  }
}

TEST(LatentCache, ACacheLargerThanMemoryIsRefusedWithOneLine) {
  const auto cache = LatentCache::create({.layers = 1 << 20, .row_bytes = std::size_t{1} << 30}, 1 << 20);
  ASSERT_FALSE(cache.ok());
  EXPECT_EQ(cache.error().kind, ErrorKind::out_of_memory);
}

}  // namespace
}  // namespace hadal
