// The program's operator new, counting and failing. Apart from its users, so that the compiler sees no pair of new and
// free.
#include "count_allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace hadal {
namespace {
std::atomic<bool> counting{false};
std::atomic<int> allocations{0}, failing_one{-1};
}  // namespace

void start_counting_allocations(int failing) {
  allocations = 0;
  failing_one = failing;
  counting = true;
}

int stop_counting_allocations() {
  counting = false;
  return allocations;
}

void count_one_allocation() {
  if (counting && allocations++ == failing_one) throw std::bad_alloc();
}

}  // namespace hadal

void* operator new(std::size_t size) {
  hadal::count_one_allocation();
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
