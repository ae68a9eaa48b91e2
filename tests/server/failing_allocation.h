// Lets an allocation of this program fail, as where memory is short. For tests only; any thread.
#pragma once

#include <cstddef>

namespace hadal {

// The next allocation of so many bytes or more throws std::bad_alloc, whoever asks; those after it do not.
void fail_next_allocation(std::size_t at_least_bytes);
bool allocation_has_failed();  // since then

}  // namespace hadal
