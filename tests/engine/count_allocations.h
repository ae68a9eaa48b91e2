// How often the program takes memory while something runs, and what it does when it gets none. One thread at a time.
#pragma once

namespace hadal {

// The allocation that follows `failing` counted ones throws std::bad_alloc; negative: none does.
void start_counting_allocations(int failing = -1);
int stop_counting_allocations();

template <class Work>
int allocations_during(Work&& work) {
  start_counting_allocations();
  work();
  return stop_counting_allocations();
}

}  // namespace hadal
