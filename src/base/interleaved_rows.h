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

// Q5_0's fifth bits, bit i of value i in the file, lie by words in a tile: bit 4 w + b is bit w of byte b. Twice these
// exchanges of bits `shift` apart (even bits down, odd ones up) bring them there.
struct FifthBitsStep {
  int shift;
  std::uint32_t mask;
};
inline constexpr FifthBitsStep kFifthBitsSteps[] = {
    {1, 0x22222222u}, {2, 0x0c0c0c0cu}, {4, 0x00f000f0u}, {8, 0x0000ff00u}};

// Q4_0, Q5_0, Q8_0, Q4_K, Q5_K, Q6_K.
bool can_interleave(DType dtype);

// rows: kTileRows rows of row_bytes each, whole blocks; tile: as many bytes. HADAL_CHECK: can_interleave(dtype).
void interleave_rows(DType dtype, const std::byte* rows, std::size_t row_bytes, std::byte* tile);
// The inverse for one row of a tile, row in [0, kTileRows).
void extract_row(DType dtype, const std::byte* tile, std::size_t row_bytes, int row, std::byte* out);

}  // namespace hadal
