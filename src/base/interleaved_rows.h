// Sixteen rows of a block type side by side: the order in which products take them, one row a lane.
//
// A tile holds sixteen rows of W, block by block; of each block first the half-precision scales of all rows, then its
// other bytes in words of four, each word of all rows together. So a product loads the same word of sixteen rows at
// once, with neither shuffles nor a sum across lanes (kernels/simd/interleaved.inl). Nothing is added or lost: a tile
// takes the bytes of its rows, and rows come back bit for bit. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace hadal {

inline constexpr int kTileRows = 16;

// Where a block has its half-precision numbers, at one end or the other; words of four bytes are the rest of it.
struct TileLayout {
  DType dtype;
  int first_half, halves;
  bool fifth_bits = false;  // the first word holds bit i of value i
  constexpr int first_word() const { return first_half == 0 ? 2 * halves : 0; }
};
inline constexpr TileLayout kTileLayouts[] = {{DType::q4_0, 0, 1}, {DType::q5_0, 0, 1, true}, {DType::q8_0, 0, 1},
                                              {DType::q4_k, 0, 2}, {DType::q5_k, 0, 2},       {DType::q6_k, 208, 1}};
// Null: the type's rows never lie in tiles.
constexpr const TileLayout* tile_layout_of(DType dtype) {
  for (const TileLayout& layout : kTileLayouts)
    if (layout.dtype == dtype) return &layout;
  return nullptr;
}

// Q5_0's fifth bits, bit i of value i in the file, lie by words in a tile: bit 4 w + b is bit w of byte b. Twice these
// exchanges of bits `shift` apart (even bits down, odd ones up) bring them there.
struct FifthBitsStep {
  int shift;
  std::uint32_t mask;
};
inline constexpr FifthBitsStep kFifthBitsSteps[] = {
    {1, 0x22222222u}, {2, 0x0c0c0c0cu}, {4, 0x00f000f0u}, {8, 0x0000ff00u}};

inline bool can_interleave(DType dtype) {
  return tile_layout_of(dtype) != nullptr;
}

// rows: kTileRows rows of row_bytes each, whole blocks; tile: as many bytes. HADAL_CHECK: can_interleave(dtype).
void interleave_rows(DType dtype, const std::byte* rows, std::size_t row_bytes, std::byte* tile);
// The inverse for one row of a tile, row in [0, kTileRows).
void extract_row(DType dtype, const std::byte* tile, std::size_t row_bytes, int row, std::byte* out);

}  // namespace hadal
