// First values of a model's parameters.
#pragma once

#include <cstdint>
#include <span>

#include "trainer/training_model.h"

namespace hadal {

// Matrices: normal with standard deviation `std`, cut at three of them; norms 1; router bias 0. Each tensor draws from
// a stream of its own name, so a value depends neither on the other tensors nor on threads.
void initialise(std::span<const ParameterSlot> slots, std::uint64_t seed, double std, ThreadPool& pool,
                std::span<float> parameters);

}  // namespace hadal
