// Counts what a test program allocates, and lets an allocation fail as where memory is short. For programs that are
// linked with allocations.cc.
#pragma once

#include <cstddef>

namespace hadal {

// How often memory is taken while something runs; one thread at a time. The allocation that follows `failing` counted
// ones throws std::bad_alloc; negative: none does.
void start_counting_allocations(int failing = -1);
int stop_counting_allocations();

template <class Work>
int allocations_during(Work&& work) {
  start_counting_allocations();
  work();
  return stop_counting_allocations();
}

// The next allocation of so many bytes or more throws std::bad_alloc, in whatever thread; those after it do not.
void fail_next_allocation(std::size_t at_least_bytes);
bool allocation_has_failed();  // since then

}  // namespace hadal
