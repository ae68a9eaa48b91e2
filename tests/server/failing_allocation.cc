// The program's operator new. Apart from its users, so that the compiler sees no pair of new and free.
#include "server/failing_allocation.h"

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

namespace hadal {
namespace {

constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();
std::atomic<std::size_t> fails_from{kNever};

bool is_the_one_to_fail(std::size_t bytes) {
  std::size_t from = fails_from;
  return bytes >= from && fails_from.compare_exchange_strong(from, kNever);
}

}  // namespace

void fail_next_allocation(std::size_t at_least_bytes) {
  fails_from = at_least_bytes;
}

bool allocation_has_failed() {
  return fails_from == kNever;
}

}  // namespace hadal

void* operator new(std::size_t size) {
  if (!hadal::is_the_one_to_fail(size))
    if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
