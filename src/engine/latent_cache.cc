#include "engine/latent_cache.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace hadal {

Result<LatentCache> LatentCache::create(LatentLayout layout, int pages) {
  HADAL_CHECK(pages > 0 && layout.layers > 0 && layout.row_bytes % 64 == 0);
  const double wanted =
      static_cast<double>(layout.layers) * static_cast<double>(pages) * static_cast<double>(layout.page_bytes());
  const auto refusal = [&] {
    return Error{ErrorKind::out_of_memory,
                 fmt::format("cache: expected {} for {} pages, the system refuses it", format_bytes(wanted), pages)};
  };
  if (wanted > static_cast<double>(std::numeric_limits<std::ptrdiff_t>::max() / 2)) return refusal();
  const std::size_t size_bytes =
      static_cast<std::size_t>(layout.layers) * static_cast<std::size_t>(pages) * layout.page_bytes();
  // NORESERVE: only pages that are written cost memory, so a generous cache is free until it is used.
  void* memory = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return refusal();
  // In huge pages, where the system has them: attention goes from page to page of many sequences, and each small page is
  // a walk of its own through the page tables. What is written first costs 2 MiB a layer then; the plan counts it all.
  madvise(memory, size_bytes, MADV_HUGEPAGE);
  return LatentCache(layout, pages, memory, size_bytes);
}

LatentCache::LatentCache(LatentLayout layout, int pages, void* memory, std::size_t size_bytes)
    : store_{.data = static_cast<std::byte*>(memory),
             .layer_stride_bytes = static_cast<std::size_t>(pages) * layout.page_bytes(),
             .page_stride_bytes = layout.page_bytes(),
             .row_bytes = layout.row_bytes},
      size_bytes_(size_bytes),
      holders_P_(static_cast<std::size_t>(pages)),
      kept_P_(static_cast<std::size_t>(pages)) {
  free_.reserve(static_cast<std::size_t>(pages));
  for (int page = pages; page-- > 0;) free_.push_back(PageId{page});
}

LatentCache::~LatentCache() {
  if (store_.data) munmap(store_.data, size_bytes_);
}

LatentCache::LatentCache(LatentCache&& other) noexcept
    : store_(std::exchange(other.store_, {})),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      held_pages_(std::exchange(other.held_pages_, 0)),
      holders_P_(std::move(other.holders_P_)),
      kept_P_(std::move(other.kept_P_)),
      free_(std::move(other.free_)) {}

std::optional<PageId> LatentCache::acquire() {
  if (free_.empty()) return std::nullopt;
  const PageId page = free_.back();
  free_.pop_back();
  holders_P_[static_cast<std::size_t>(index(page))] = 1;
  ++held_pages_;
  return page;
}

void LatentCache::share(PageId page) {
  std::int32_t& holders = holders_P_[static_cast<std::size_t>(index(page))];
  HADAL_CHECK(holders > 0 || kept(page));
  if (holders++ == 0) ++held_pages_;
}

void LatentCache::release(PageId page) {
  std::int32_t& holders = holders_P_[static_cast<std::size_t>(index(page))];
  HADAL_CHECK(holders > 0);
  if (--holders > 0) return;
  --held_pages_;
  if (!kept(page)) free_.push_back(page);
}

void LatentCache::keep(PageId page) {
  HADAL_CHECK(!kept(page) && holders(page) > 0);
  kept_P_[static_cast<std::size_t>(index(page))] = 1;
}

void LatentCache::drop(PageId page) {
  HADAL_CHECK(kept(page));
  kept_P_[static_cast<std::size_t>(index(page))] = 0;
  if (holders(page) == 0) free_.push_back(page);
}

void LatentCache::copy_rows(PageId from, PageId to, int rows) {
  const int layers = static_cast<int>(size_bytes_ / store_.layer_stride_bytes);
  for (int layer = 0; layer < layers; ++layer)
    std::memcpy(store_.row(layer, to, 0), store_.row(layer, from, 0),
                static_cast<std::size_t>(rows) * store_.row_bytes);
}

}  // namespace hadal
