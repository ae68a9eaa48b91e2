#include "base/interleaved_rows.h"

#include <cstdint>
#include <cstring>
#include <iterator>

#include "base/check.h"

namespace hadal {
namespace {

constexpr std::size_t kRows = kTileRows;

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
void for_each_part(const TileLayout& layout, std::size_t block_bytes, std::size_t row, Move move) {
  const std::size_t first_half = static_cast<std::size_t>(layout.first_half),
                    first_word = static_cast<std::size_t>(layout.first_word()),
                    halves = static_cast<std::size_t>(layout.halves), words = (block_bytes - 2 * halves) / 4;
  std::size_t tile = 0;
  for (std::size_t h = 0; h < halves; ++h, tile += 2 * kRows) move(first_half + 2 * h, tile + 2 * row, 2);
  for (std::size_t w = 0; w < words; ++w, tile += 4 * kRows) move(first_word + 4 * w, tile + 4 * row, 4);
}

void change_fifth_bits(const TileLayout& layout, std::byte* word, std::uint32_t (*change)(std::uint32_t)) {
  if (!layout.fifth_bits) return;
  std::uint32_t bits;
  std::memcpy(&bits, word, 4);
  bits = change(bits);
  std::memcpy(word, &bits, 4);
}

}  // namespace

void interleave_rows(DType dtype, const std::byte* rows, std::size_t row_bytes, std::byte* tile) {
  const TileLayout* layout = tile_layout_of(dtype);
  HADAL_CHECK(layout);
  const std::size_t bytes = static_cast<std::size_t>(block_bytes(dtype));
  for (std::size_t at = 0; at < row_bytes; at += bytes, tile += kRows * bytes)
    for (std::size_t row = 0; row < kRows; ++row) {
      for_each_part(*layout, bytes, row, [&](std::size_t of_block, std::size_t of_tile, std::size_t n) {
        std::memcpy(tile + of_tile, rows + row * row_bytes + at + of_block, n);
      });
      change_fifth_bits(*layout, tile + 2 * kRows * static_cast<std::size_t>(layout->halves) + 4 * row, by_words);
    }
}

void extract_row(DType dtype, const std::byte* tile, std::size_t row_bytes, int row, std::byte* out) {
  const TileLayout* layout = tile_layout_of(dtype);
  HADAL_CHECK(layout && row >= 0 && row < kTileRows);
  const std::size_t bytes = static_cast<std::size_t>(block_bytes(dtype));
  for (std::size_t at = 0; at < row_bytes; at += bytes, tile += kRows * bytes, out += bytes) {
    for_each_part(*layout, bytes, static_cast<std::size_t>(row),
                  [&](std::size_t of_block, std::size_t of_tile, std::size_t n) {
                    std::memcpy(out + of_block, tile + of_tile, n);
                  });
    change_fifth_bits(*layout, out + layout->first_word(), by_values);
  }
}

}  // namespace hadal
