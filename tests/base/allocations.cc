// The program's operator new, counting and failing. Apart from its users, so that the compiler sees no pair of new and
// free.
#include "base/allocations.h"

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

namespace hadal {
namespace {

std::atomic<bool> counting{false};
std::atomic<int> allocations{0}, failing_one{-1};

constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();
std::atomic<std::size_t> fails_from{kNever};

bool is_large_enough_to_fail(std::size_t bytes) {
  std::size_t from = fails_from;
  return bytes >= from && fails_from.compare_exchange_strong(from, kNever);
}

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

void fail_next_allocation(std::size_t at_least_bytes) {
  fails_from = at_least_bytes;
}

bool allocation_has_failed() {
  return fails_from == kNever;
}

bool allocation_is_to_fail(std::size_t bytes) {
  return (counting && allocations++ == failing_one) || is_large_enough_to_fail(bytes);
}

}  // namespace hadal

void* operator new(std::size_t size) {
  if (!hadal::allocation_is_to_fail(size))
    if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
