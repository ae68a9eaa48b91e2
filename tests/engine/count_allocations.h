// How often the program takes memory while something runs. One thread at a time.
#pragma once

namespace hadal {

void start_counting_allocations();
int stop_counting_allocations();

template <class Work>
int allocations_during(Work&& work) {
  start_counting_allocations();
  work();
  return stop_counting_allocations();
}

}  // namespace hadal
