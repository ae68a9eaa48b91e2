#include "trainer/initialise.h"

#include <algorithm>

#include "base/rng.h"

namespace hadal {
namespace {

std::uint64_t hash_of(std::string_view name) {  // FNV-1a: fixed for ever, unlike std::hash
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return h;
}

}  // namespace

void initialise(std::span<const ParameterSlot> slots, std::uint64_t seed, double std, ThreadPool& pool,
                std::span<float> parameters) {
  pool.parallel_for(static_cast<int>(slots.size()), [&](int i, int) {
    const ParameterSlot& slot = slots[static_cast<std::size_t>(i)];
    const auto values =
        parameters.subspan(static_cast<std::size_t>(slot.offset), static_cast<std::size_t>(slot.tensor.elements()));
    if (slot.tensor.shape.size() < 2) {
      std::fill(values.begin(), values.end(), slot.tensor.role == TensorRole::router_bias ? 0.0f : 1.0f);
      return;
    }
    Rng rng(seed ^ hash_of(slot.tensor.name));
    for (float& value : values) value = static_cast<float>(std * std::clamp(rng.next_normal(), -3.0, 3.0));
  });
}

}  // namespace hadal
