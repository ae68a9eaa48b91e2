// GGUF's block types: values of a row in blocks of 32 or 256, as small codes with common scales.
//
// This is the definition: each layout once, and its values in float32 in the order of operations that the format's
// own makers use, so that results agree bit for bit (MODELS.md 9.3). The fast kernels are checked against it.
// Not quantising (formats/quantiser.h). Any thread.
#pragma once

#include <cstddef>

#include "base/dtype.h"

namespace hadal {

// out[i], i in [0, n): n is a multiple of block_values(dtype); `in` may have any alignment. HADAL_CHECK: a block type.
void dequantise(DType dtype, const std::byte* in, std::size_t n, float* out);

}  // namespace hadal
