#include "kernels/attention.h"

#include "kernels/scratch.h"

namespace hadal {
namespace {

std::size_t padded(int x) {
  return static_cast<std::size_t>((x + 63) / 64 * 64);
}

}  // namespace

// Upper bounds over both element types and all instruction sets; see the take() calls in simd/attention.inl.
std::size_t attention_scratch_bytes(int positions, int nope, int rope, int value) {
  const std::size_t s = padded(positions), d = padded(nope + rope), v = padded(value);
  return 4 * (s * (2 * d + v) + 64 * (d + 2 * s)) + 4096;
}
std::size_t attention_backward_scratch_bytes(int positions, int nope, int rope, int value) {
  const std::size_t s = padded(positions), d = padded(nope + rope), v = padded(value);
  return 4 * (s * (4 * d + v) + 64 * (2 * d + 2 * v + 4 * s)) + 4096;
}
std::size_t absorbed_scratch_bytes(int latent, int rope) {  // of eight heads
  const std::size_t page = 64, w = padded(latent + rope);
  return 8 * 4 * (w + 2 * page) + 4096;
}

void attention(const Compute& compute, std::span<const AttentionTile> tiles) {
  compute.pool->parallel_for(static_cast<int>(tiles.size()), [&](int i, int) {
    AttentionTile tile = tiles[static_cast<std::size_t>(i)];
    tile.scratch = thread_scratch(attention_scratch_bytes(tile.positions, tile.nope, tile.rope, tile.value));
    (compute.arithmetic == Arithmetic::exact ? compute.kernels->attention_f32 : compute.kernels->attention_fast)(tile);
  });
}

void attention_backward(const Compute& compute, std::span<const AttentionTileBackward> tiles) {
  compute.pool->parallel_for(static_cast<int>(tiles.size()), [&](int i, int) {
    AttentionTileBackward tile = tiles[static_cast<std::size_t>(i)];
    const AttentionTile& f = tile.forward;
    tile.forward.scratch = thread_scratch(attention_backward_scratch_bytes(f.positions, f.nope, f.rope, f.value));
    (compute.arithmetic == Arithmetic::exact ? compute.kernels->attention_backward_f32
                                             : compute.kernels->attention_backward_fast)(tile);
  });
}

void absorbed_attention(const Compute& compute, std::span<const AbsorbedTile> tiles) {
  compute.pool->parallel_for(static_cast<int>(tiles.size()),
                             [&](int i, int) { absorbed_attention_here(compute, tiles[static_cast<std::size_t>(i)]); });
}

void absorbed_attention_here(const Compute& compute, AbsorbedTile tile) {
  tile.scratch = thread_scratch(absorbed_scratch_bytes(tile.latent, tile.rope));
  (compute.arithmetic == Arithmetic::exact ? compute.kernels->absorbed_f32 : compute.kernels->absorbed_bf16)(tile);
}

}  // namespace hadal
