// Attention over many (sequence, head) tiles in one parallel loop. What a tile
// is, and its layouts, stands in kernel_table.h; which order to take (expanded
// or absorbed) is decided in model/mla.cc.
#pragma once

#include <span>

#include "kernels/compute.h"
#include "kernels/kernel_table.h"

namespace hadal {

// `scratch` of each tile is filled in here.
void attention(const Compute& compute, std::span<const AttentionTile> tiles);
void attention_backward(const Compute& compute, std::span<const AttentionTileBackward> tiles);
void absorbed_attention(const Compute& compute, std::span<const AbsorbedTile> tiles);
void absorbed_attention_here(const Compute& compute, AbsorbedTile tile);  // one, on the calling thread

}  // namespace hadal
