// Rotary position embedding: pair i turns by position * frequency_i. DeepSeek's weights
// pair neighbours (2i, 2i + 1), the dense families' i with i + half (MODELS.md 2.5).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace hadal {

// cos and sin of one position, interleaved: [2 * frequencies]. The angle is taken in double.
void rope_angles(std::span<const float> frequencies, int position, float* cos_sin);
// Rotates one vector of 2 * pairs values in place; direction -1 turns back (the gradient).
void rope_rotate(const float* cos_sin, int pairs, int direction, float* x);
// The same with pairs (i, i + pairs).
void rope_rotate_halves(const float* cos_sin, int pairs, int direction, float* x);

}  // namespace hadal
