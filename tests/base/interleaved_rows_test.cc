// Rows in tiles: every byte comes back, and the words of sixteen rows lie where the products look for them.
#include "base/interleaved_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/rng.h"

namespace hadal {
namespace {

std::vector<std::byte> random_bytes(std::size_t n) {
  std::vector<std::byte> bytes(n);
  Rng rng(1);
  for (std::byte& b : bytes) b = static_cast<std::byte>(rng.next_below(256));
  return bytes;
}

TEST(InterleavedRows, ComeBackBitForBit) {
  int types = 0;
  for (int i = 0; i <= static_cast<int>(DType::mxfp4); ++i) {
    const auto dtype = static_cast<DType>(i);
    if (!can_interleave(dtype)) continue;
    ++types;
    const std::size_t row = size_bytes(dtype, 768);
    const std::vector<std::byte> rows = random_bytes(kTileRows * row);
    std::vector<std::byte> tile(rows.size()), back(row);
    interleave_rows(dtype, rows.data(), row, tile.data());
    EXPECT_NE(tile, rows);
    for (int r = 0; r < kTileRows; ++r) {
      extract_row(dtype, tile.data(), row, r, back.data());
      EXPECT_TRUE(std::equal(back.begin(), back.end(), rows.begin() + r * static_cast<std::ptrdiff_t>(row)))
          << name_of(dtype) << " row " << r;
    }
    if (dtype != DType::q5_0) {  // its fifth bits change places; all others are moved, and nothing else
      std::vector<std::byte> sorted_rows = rows, sorted_tile = tile;
      std::sort(sorted_rows.begin(), sorted_rows.end());
      std::sort(sorted_tile.begin(), sorted_tile.end());
      EXPECT_EQ(sorted_tile, sorted_rows) << name_of(dtype);
    }
  }
  EXPECT_EQ(types, 6);
}

// Q8_0: scales of all rows, then words of four codes, each of all rows.
TEST(InterleavedRows, WordsOfAllRowsLieTogether) {
  constexpr std::size_t kRow = 2 * 34;
  const std::vector<std::byte> rows = random_bytes(kTileRows * kRow);
  std::vector<std::byte> tile(rows.size());
  interleave_rows(DType::q8_0, rows.data(), kRow, tile.data());
  const auto same = [&](std::size_t in_tile, std::size_t in_rows, std::size_t n) {
    return std::memcmp(tile.data() + in_tile, rows.data() + in_rows, n) == 0;
  };
  EXPECT_TRUE(same(2 * 5, 5 * kRow, 2));                            // row 5, the scale of block 0
  EXPECT_TRUE(same(32 + 64 * 3 + 4 * 5, 5 * kRow + 2 + 4 * 3, 4));  // its codes 12 to 15
  EXPECT_TRUE(same(16 * 34 + 2 * 15, 15 * kRow + 34, 2));           // row 15, the scale of block 1
  EXPECT_TRUE(same(16 * 34 + 32 + 4 * 15, 15 * kRow + 34 + 2, 4));
}

// Q5_0: the fifth bit of value i, bit i of a word, goes to bit i / 4 of byte i % 4.
TEST(InterleavedRows, FifthBitsLieByWords) {
  std::vector<std::byte> rows(kTileRows * 22), tile(rows.size());
  const std::uint32_t bits = 1u << 0 | 1u << 9 | 1u << 31;
  std::memcpy(rows.data() + 7 * 22 + 2, &bits, 4);
  interleave_rows(DType::q5_0, rows.data(), 22, tile.data());
  std::uint32_t moved;
  std::memcpy(&moved, tile.data() + 32 + 4 * 7, 4);
  EXPECT_EQ(moved, 1u << 0 | 1u << (8 * 1 + 2) | 1u << (8 * 3 + 7));
}

}  // namespace
}  // namespace hadal
