#include "base/interleaved_rows.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "base/check.h"

namespace hadal {
namespace {

constexpr std::size_t kRows = kTileRows;

// Where a block has its half-precision numbers, at one end or the other; words of four bytes are the rest of it.
struct Layout {
  DType dtype;
  std::size_t first_half, halves;
  bool fifth_bits = false;  // its first word holds bit i of value i
};
constexpr std::array kLayouts = std::to_array<Layout>({{DType::q4_0, 0, 1},
                                                       {DType::q5_0, 0, 1, true},
                                                       {DType::q8_0, 0, 1},
                                                       {DType::q4_k, 0, 2},
                                                       {DType::q5_k, 0, 2},
                                                       {DType::q6_k, 208, 1}});

const Layout* layout_of(DType dtype) {
  const auto found =
      std::find_if(kLayouts.begin(), kLayouts.end(), [dtype](const Layout& l) { return l.dtype == dtype; });
  return found == kLayouts.end() ? nullptr : &*found;
}

// Bit 4 w + b goes to bit w of byte b: then one shift and mask give the fifth bits of word w of the codes.
std::uint32_t exchange_bits(std::uint32_t bits, const FifthBitsStep& step) {
  const std::uint32_t moved = (bits ^ bits >> step.shift) & step.mask;
  return bits ^ moved ^ moved << step.shift;
}
std::uint32_t by_words(std::uint32_t bits) {
  for (int twice = 0; twice < 2; ++twice)
    for (const FifthBitsStep& step : kFifthBitsSteps) bits = exchange_bits(bits, step);
  return bits;
}
// Each exchange undoes itself.
std::uint32_t by_values(std::uint32_t bits) {
  for (int twice = 0; twice < 2; ++twice)
    for (auto step = std::rbegin(kFifthBitsSteps); step != std::rend(kFifthBitsSteps); ++step)
      bits = exchange_bits(bits, *step);
  return bits;
}

// move(of the block, of the tile's block, bytes) for each half and word of row `row`.
template <class Move>
void for_each_part(const Layout& layout, std::size_t block_bytes, std::size_t row, Move move) {
  std::size_t tile = 0;
  for (std::size_t h = 0; h < layout.halves; ++h, tile += 2 * kRows) move(layout.first_half + 2 * h, tile + 2 * row, 2);
  const std::size_t first = layout.first_half == 0 ? 2 * layout.halves : 0,
                    words = (block_bytes - 2 * layout.halves) / 4;
  for (std::size_t w = 0; w < words; ++w, tile += 4 * kRows) move(first + 4 * w, tile + 4 * row, 4);
}

void change_fifth_bits(const Layout& layout, std::byte* word, std::uint32_t (*change)(std::uint32_t)) {
  if (!layout.fifth_bits) return;
  std::uint32_t bits;
  std::memcpy(&bits, word, 4);
  bits = change(bits);
  std::memcpy(word, &bits, 4);
}

}  // namespace

bool can_interleave(DType dtype) {
  return layout_of(dtype) != nullptr;
}

void interleave_rows(DType dtype, const std::byte* rows, std::size_t row_bytes, std::byte* tile) {
  const Layout* layout = layout_of(dtype);
  HADAL_CHECK(layout);
  const std::size_t bytes = static_cast<std::size_t>(block_bytes(dtype));
  for (std::size_t at = 0; at < row_bytes; at += bytes, tile += kRows * bytes)
    for (std::size_t row = 0; row < kRows; ++row) {
      for_each_part(*layout, bytes, row, [&](std::size_t of_block, std::size_t of_tile, std::size_t n) {
        std::memcpy(tile + of_tile, rows + row * row_bytes + at + of_block, n);
      });
      change_fifth_bits(*layout, tile + 2 * kRows * layout->halves + 4 * row, by_words);
    }
}

void extract_row(DType dtype, const std::byte* tile, std::size_t row_bytes, int row, std::byte* out) {
  const Layout* layout = layout_of(dtype);
  HADAL_CHECK(layout && row >= 0 && row < kTileRows);
  const std::size_t bytes = static_cast<std::size_t>(block_bytes(dtype));
  for (std::size_t at = 0; at < row_bytes; at += bytes, tile += kRows * bytes, out += bytes) {
    for_each_part(*layout, bytes, static_cast<std::size_t>(row),
                  [&](std::size_t of_block, std::size_t of_tile, std::size_t n) {
                    std::memcpy(out + of_block, tile + of_tile, n);
                  });
    change_fifth_bits(*layout, out + 2 * layout->halves, by_values);
  }
}

}  // namespace hadal
