// From float32 to GGUF's blocks (base/block_formats.h has the way back).
//
// Codes, scales and minima are chosen for the least weighted squared error: several scales are tried for each run of
// values, each improved by least squares for the codes that it gives; what scales lose when they are rounded in turn is
// won back by trying their neighbours. The same bits on every instruction set. Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace hadal {

struct KernelTable;  // kernels/kernel_table.h

// f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k, q4_k, q5_k, q6_k.
bool can_quantise(DType dtype);
std::vector<std::string> quantisable_types();  // "f32", "f16", ..

// One row or several: n values, a multiple of block_values(to), to size_bytes(to, n) bytes. `importance`: the weight of
// each value's error, n of them, not negative; null: all alike. Values must be finite, or the block that holds
// another is nonsense: ask first_not_finite() before. What is too large for the type comes back from restore_row() as
// infinities or NaN: f16 ends at 65504, and so do the scales of blocks.
void quantise(const KernelTable& kernels, DType to, const float* values, std::size_t n, const float* importance,
              std::byte* out);

// n values of one row back, as convert_to_f32() gives them bit for bit, by the kernels where the type has them.
void restore_row(const KernelTable& kernels, DType from, const std::byte* row, std::size_t n, float* values);

// The place of the first NaN or infinity, or n.
std::size_t first_not_finite(const float* values, std::size_t n);

}  // namespace hadal
