#include "trainer/initialise.h"

#include <algorithm>

#include "base/hash.h"
#include "base/rng.h"

namespace hadal {
namespace {

bool is_bias(TensorRole role) {
  return role == TensorRole::router_bias || role == TensorRole::q_bias || role == TensorRole::k_bias ||
         role == TensorRole::v_bias;
}

}  // namespace

void initialise(std::span<const ParameterSlot> slots, std::uint64_t seed, double std, ThreadPool& pool,
                std::span<float> parameters) {
  pool.parallel_for(static_cast<int>(slots.size()), [&](int i, int) {
    const ParameterSlot& slot = slots[static_cast<std::size_t>(i)];
    const auto values =
        parameters.subspan(static_cast<std::size_t>(slot.offset), static_cast<std::size_t>(slot.tensor.elements()));
    if (slot.tensor.shape.size() < 2) {
      std::fill(values.begin(), values.end(), is_bias(slot.tensor.role) ? 0.0f : 1.0f);
      return;
    }
    Rng rng(seed ^ fnv1a(slot.tensor.name));
    for (float& value : values) value = static_cast<float>(std * std::clamp(rng.next_normal(), -3.0, 3.0));
  });
}

}  // namespace hadal
