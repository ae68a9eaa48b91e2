// The paged latent cache: all that attention keeps of past tokens.
//
// Per layer and token one row: MLA's normalised latent, then the rotated key that all
// heads share; or every value and rotated key head of grouped queries. Rows lie in pages of 64 tokens; a page is the
// same index in every layer. Sequences with a common prefix hold the same full pages; only full pages are shared, so no
// shared page is ever written. The prefix index may *keep* a page that nobody holds, so that a later prompt finds it.
//
// A page is free, held (by one or more sequences) or merely kept. All addresses are
// taken at the start; the system gives real memory to pages as they are first written.
// Threads: nothing here locks; the engine thread alone calls it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "model/transformer.h"

namespace hadal {

class LatentCache {
 public:
  static Result<LatentCache> create(LatentLayout layout, int pages);  // or ErrorKind::out_of_memory
  ~LatentCache();
  LatentCache(LatentCache&& other) noexcept;
  LatentCache& operator=(LatentCache&&) = delete;

  // A page with one holder. No page left is no error: the scheduler makes room and asks again.
  [[nodiscard]] std::optional<PageId> acquire();
  void share(PageId page);    // one more sequence holds it
  void release(PageId page);  // the last holder's release frees it, unless it is kept
  void keep(PageId page);     // for the prefix index; it must be held or kept
  void drop(PageId page);     // the index forgets it; frees it if nobody holds it

  void copy_rows(PageId from, PageId to, int rows);  // the first `rows` of a page, of every layer

  int holders(PageId page) const { return holders_P_[static_cast<std::size_t>(index(page))]; }
  bool kept(PageId page) const { return kept_P_[static_cast<std::size_t>(index(page))] != 0; }

  int pages() const noexcept { return static_cast<int>(holders_P_.size()); }
  int free_pages() const noexcept { return static_cast<int>(free_.size()); }
  int held_pages() const noexcept { return held_pages_; }
  int reusable_pages() const noexcept { return pages() - free_pages() - held_pages_; }  // kept by the index alone

  const LatentStore& store() const noexcept { return store_; }

 private:
  LatentCache(LatentLayout layout, int pages, void* memory, std::size_t size_bytes);

  LatentStore store_;  // [layers, pages, kPageTokens, row_bytes]
  std::size_t size_bytes_ = 0;
  int held_pages_ = 0;
  std::vector<std::int32_t> holders_P_;
  std::vector<std::uint8_t> kept_P_;
  std::vector<PageId> free_;  // a stack: the page freed last is the warmest
};

}  // namespace hadal
